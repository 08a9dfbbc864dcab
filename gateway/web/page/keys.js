/** The key and the code that the server may want; kept in this tab only. */

/** Two fields and the fold that they are in. */
export class Keys {
  #options;
  #fields;

  constructor(options, { key, code }) {
    this.#options = options;
    this.#fields = { key, code };
    for (const [name, field] of Object.entries(this.#fields)) {
      field.value = kept(name);
      field.addEventListener("input", () => keep(name, field.value.trim()));
    }
    if (this.key || this.code) options.open = true;
  }

  get key() {
    return sendable(this.#fields.key.value);
  }

  get code() {
    return sendable(this.#fields.code.value);
  }

  /** Shows the field that has to be filled in, with what is in it to be written over. */
  demand(name) {
    this.#options.open = true;
    this.#fields[name].focus();
    this.#fields[name].select();
  }

  /** The code has been used. */
  spend() {
    this.#fields.code.value = "";
    keep("code", "");
  }
}

/** A text without letters that no key has, so that it can be sent and the server says that it is not known. */
function sendable(text) {
  return text.trim().replace(/[^ -~]/g, "?");
}

function kept(name) {
  try {
    return sessionStorage.getItem(`clipwire.${name}`) ?? "";
  } catch {
    return ""; // a browser may keep nothing
  }
}

function keep(name, value) {
  try {
    if (value) sessionStorage.setItem(`clipwire.${name}`, value);
    else sessionStorage.removeItem(`clipwire.${name}`);
  } catch {
    // then it is entered again
  }
}
