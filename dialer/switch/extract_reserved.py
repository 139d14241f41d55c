"""Print the channel variables that a FreeSWITCH source tree reads or writes itself.

    git clone --depth 1 --branch v1.11.2 https://github.com/signalwire/freeswitch.git path/to/freeswitch
    python -m dialer.switch.extract_reserved path/to/freeswitch > dialer/reserved_variables.txt

One of these, set from a list, could run a command on the switch, change how it calls, or change what its events tell
us. The file that ships was made from the tag v1.11.2.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

FAMILIES = (
    "*_hook* _body _nolocal_* absolute_* api_* bridge_* conference_* confvar_* effective_* enum_* exec_* execute_on_* "
    "fax_* group_confirm_* leg_* media_* originate_* origination_* park_* record_* rtc_* rtp_* sip_* smpp_* t38_* "
    "transfer_* verto_*"
)
"""Names that the switch composes or matches by their beginning, which no search for literals finds."""

HARMLESS = {"language"}
"""Read by the switch, yet what lists are there to say: the language of its prompts to this subscriber."""

SOURCES = {".c", ".h", ".cpp"}
CALL = re.compile(
    r"\b(?:switch_channel_(?!set_profile)\w*(?:variable|var_true|var_false|execute_on|api_on)\w*"
    r"|switch_ivr_transfer_variable|switch_event_(?:get_header|add_header)\w*)\s*\("
)
COMPOSED = re.compile(r'\b(?:switch_)?snprintf\(\w*(?:var_?name|vname|vbuf|\bvar), *sizeof\(\w+\), *"(\w{3,}%[^"]*)"')
DEFINE = re.compile(r'^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+"([^"\n]*)"', re.MULTILINE)
LITERAL_OR_MACRO = re.compile(r'"[^"]*"|\b[A-Z]\w+')
VARIABLES_EVENT = re.compile(r"(?:^|\W)\w*(?:var_event|vars|variables)$")
"""How the sources call an event that carries channel variables and nothing else."""
NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)


def extract(tree: Path) -> list[str]:
    """Return names and patterns (``*`` stands for any characters), in lower case and in order."""
    texts = [
        path.read_text("utf-8", "replace")
        for path in sorted((tree / "src").rglob("*"))
        if path.suffix in SOURCES and not path.stem.endswith(("_wrap", "_wrap.2010"))
    ]
    defines = {name: value for text in texts for name, value in DEFINE.findall(text)}
    names = {value for name, value in defines.items() if name.endswith("_VARIABLE")}
    patterns = set(FAMILIES.split())
    patterns |= {f"{value}*" for name, value in defines.items() if name.endswith("_PREFIX") and value.endswith("_")}
    for text in texts:
        names.update(re.findall(r'"variable_(\w+)"', text))
        names.update(COMPOSED.findall(text))
        for called, arguments in _calls(text):
            names.update(_names(called, arguments, defines))
    patterns |= {re.sub("%[a-z]", "*", name) for name in names if "%" in name}
    found = {item.lower() for item in patterns | names - HARMLESS if NAME.match(item.replace("*", ""))}
    covering = [item for item in found if "*" in item]
    return sorted(item for item in found if not any(fnmatch(item, other) for other in covering if other != item))


def version(tree: Path) -> str:
    """Return the version that the tree gives itself."""
    found = re.search(r"AC_INIT\(\[freeswitch\], \[([^\]]+)\]", (tree / "configure.ac").read_text())
    return found[1] if found else "of unknown version"


def _calls(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each call of interest and its arguments, cut at the top-level commas."""
    for match in CALL.finditer(text):
        arguments, depth, quoted = [""], 1, False
        for index in range(match.end(), min(match.end() + 2000, len(text))):
            char = text[index]
            if char == '"' and text[index - 1] != "\\":
                quoted = not quoted
            elif not quoted:
                depth += (char == "(") - (char == ")")
                if depth == 0:
                    yield match[0].rstrip("( \t\n"), [argument.strip() for argument in arguments]
                    break
                if char == "," and depth == 1:
                    arguments.append("")
                    continue
            arguments[-1] += char


def _names(called: str, arguments: list[str], defines: dict[str, str]) -> Iterator[str]:
    """Yield the names in the argument of a call that is a variable's name."""
    if called.startswith("switch_event"):
        if not VARIABLES_EVENT.search(arguments[0]):
            return
        position = 2 if "add" in called else 1
    else:
        position = 2 if called.startswith("switch_ivr_transfer_variable") or "name_printf" in called else 1
    if len(arguments) > position:
        name = LITERAL_OR_MACRO.sub(
            lambda found: found[0] if found[0].startswith('"') else f'"{defines.get(found[0], "")}"',
            arguments[position],
        )
        yield from re.findall(r'"([^"]*)"', re.sub(r'"\s*"', "", name))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    source = Path(sys.argv[1])
    print(
        f"# Channel variables that FreeSWITCH {version(source)} reads or writes itself; “*” stands for any characters."
    )
    print("# Made by dialer/switch/extract_reserved.py: do not edit, run it again.")
    print(*extract(source), sep="\n")
