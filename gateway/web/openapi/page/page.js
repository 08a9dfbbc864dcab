// Swagger UI around this server's own document. It asks nobody else: no validator, no fonts, no proxy.
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  filter: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null,
  queryConfigEnabled: false, // an address of this page cannot name another document
});
