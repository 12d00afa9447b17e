"""Names for kinds of files that Grep can be limited to."""

from __future__ import annotations

FILE_TYPES = {
    "c": "*.{c,h}",
    "cpp": "*.{cc,cpp,cxx,h,hh,hpp,hxx}",
    "cs": "*.cs",
    "css": "*.{css,scss}",
    "csv": "*.csv",
    "go": "*.go",
    "html": "*.{htm,html}",
    "java": "*.java",
    "js": "*.{cjs,js,jsx,mjs}",
    "json": "*.json",
    "kotlin": "*.{kt,kts}",
    "lua": "*.lua",
    "make": "{*.mak,*.mk,GNUmakefile,Makefile,makefile}",
    "markdown": "*.{markdown,md,mdx}",
    "md": "*.{markdown,md,mdx}",
    "php": "*.php",
    "py": "*.{py,pyi}",
    "rb": "*.{gemspec,rb}",
    "rust": "*.rs",
    "sh": "*.{bash,sh,zsh}",
    "sql": "*.sql",
    "swift": "*.swift",
    "toml": "*.toml",
    "ts": "*.{cts,mts,ts,tsx}",
    "txt": "*.txt",
    "xml": "*.{xml,xsd,xsl}",
    "yaml": "*.{yaml,yml}",
}
