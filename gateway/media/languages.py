"""The language codes of the site's pages as ours. Pure.

The site writes `eng-US` and `cmn-Hans-CN`: a language of three letters, its script and its region.
"""

import re

# ours, and after the colon what else names the same language: ISO 639's codes of three letters, those
# that it has withdrawn, and those of the one form that captions are written in (`cmn` of Chinese)
_TABLE = """
af:afr am:amh ar:ara,arb as:asm az:aze,azj ba:bak be:bel bg:bul bn:ben bo:bod,tib br:bre bs:bos ca:cat
cs:ces,cze cy:cym,wel da:dan de:deu,ger el:ell,gre en:eng es:spa et:est,ekk eu:eus,baq fa:fas,per,pes
fi:fin fo:fao fr:fra,fre gl:glg gu:guj ha:hau haw he:heb,iw hi:hin hr:hrv ht:hat hu:hun hy:hye,arm
id:ind,in is:isl,ice it:ita ja:jpn jw:jav,jv ka:kat,geo kk:kaz km:khm kn:kan ko:kor la:lat lb:ltz ln:lin
lo:lao lt:lit lv:lav,lvs mg:mlg,plt mi:mri,mao mk:mkd,mac ml:mal mn:mon,khk mr:mar ms:msa,may,zsm mt:mlt
my:mya,bur ne:nep,npi nl:nld,dut nn:nno no:nor,nob,nb oc:oci pa:pan pl:pol ps:pus pt:por ro:ron,rum,mo
ru:rus sa:san sd:snd si:sin sk:slk,slo sl:slv sn:sna so:som sq:sqi,alb,als sr:srp su:sun sv:swe
sw:swa,swh ta:tam te:tel tg:tgk th:tha tk:tuk tl:tgl,fil tr:tur tt:tat uk:ukr ur:urd uz:uzb,uzn vi:vie
yi:yid,ydd,ji yo:yor yue zh:zho,chi,cmn
"""


def code(language: str) -> str:
    """Our code of a page's language; a language that we have none for stays as it is."""
    return _OURS.get(re.split("[-_]", language.strip(), maxsplit=1)[0].lower(), language)


_OURS = {name: row.partition(":")[0] for row in _TABLE.split() for name in re.split("[:,]", row)}
