"""`crt-store` sections: which files make up a certificate (section 12.7)."""

from __future__ import annotations

import os

from trilb.base.diagnostic import Refused, nearest
from trilb.config.expressions import NotServed
from trilb.config.keywords.registry import Context, keyword, only
from trilb.config.lexer import Line
from trilb.config.sections import CertificateFiles, CertificateStore
from trilb.config.settings import Global

_FILES = ("crt", "key", "ocsp", "issuer", "sctl")
_UNSERVED = ("acme", "domains", "ips", "generate-dummy", "keytype", "bits", "curves", "jwt", "ocsp-update")


@keyword("global", "key-base")
def global_key_base(line: Line, section: Global, context: Context) -> None:
    """`key-base DIR`: where relative names of keys in `crt-store` sections begin."""
    (section.key_base,) = only(line, 1, "key-base <dir>")


@keyword("crt-store", "crt-base", "key-base")
def bases(line: Line, section: CertificateStore, context: Context) -> None:
    """`crt-base DIR`, `key-base DIR`: where relative names begin in this section, whatever the global one says."""
    (text,) = only(line, 1, f"{line.words[0]} <dir>")
    setattr(section, line.words[0].replace("-", "_"), text)


@keyword("crt-store", "load")
def load(line: Line, section: CertificateStore, context: Context) -> None:
    """`load crt FILE [key FILE] [ocsp FILE] [issuer FILE] [alias NAME]`: a certificate and the files it is made of."""
    said: dict[str, str] = {}
    words = line.words
    for i in range(1, len(words), 2):
        word = words[i]
        if i + 1 >= len(words):
            raise Refused(f"'load' : '{word}' expects an argument", column=line.columns[i])
        if word in _UNSERVED and words[i + 1] != "off":
            raise NotServed(f"load {word}", column=line.columns[i])
        if word not in (*_FILES, *_UNSERVED, "alias"):
            raise Refused(
                f"'load' : unknown option '{word}'{nearest(word, [*_FILES, 'alias'])}", column=line.columns[i]
            )
        if word in said:
            raise Refused(f"'load' : '{word}' is said twice", column=line.columns[i])
        said[word] = words[i + 1]
    if "crt" not in said:
        raise Refused("'load' expects 'crt' with a file's name")
    if "sctl" in said:
        context.config.without_effect.setdefault("load sctl", line.place)
    settings = context.config.globals
    crt_base, key_base = section.crt_base or settings.crt_base, section.key_base or settings.key_base
    files = CertificateFiles(
        os.path.join(crt_base, said["crt"]),
        os.path.join(key_base, said["key"]) if "key" in said else "",
        os.path.join(crt_base, said["ocsp"]) if "ocsp" in said else "",
        os.path.join(crt_base, said["issuer"]) if "issuer" in said else "",
        line.place,
    )
    if section.name or "alias" in said:
        name = f"@{section.name}/{said.get('alias', said['crt'])}"
    else:
        name = files.crt
    if name in settings.tls_loads:
        raise Refused(f"'load' : '{name}' is already defined at {settings.tls_loads[name].place}")
    used = [(crt, bind.place) for proxy in context.config.proxies for bind in proxy.binds for crt in bind.tls.crt]
    used += [(crt, each.place) for proxy in context.config.proxies for each in proxy.servers for crt in each.tls.crt]
    for crt, place in used:
        if name in (crt, os.path.join(settings.crt_base, crt)):
            raise Refused(f"'load' : '{name}' is used at {place} already; a crt-store stands above its use")
    settings.tls_loads[name] = files
