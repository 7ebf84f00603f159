"""A Sphinx extension: the API reference, for which sphinx-autoapi reads the library's sources without importing them.

- `.. api:: lenet5lib.data` describes the public names of a module, or of a package and all its modules.
- Docstrings have Google's sections and Markdown's backticks. A name in backticks becomes a link where the reference
  describes it, and stays literal text elsewhere.
- "chapter 2" and "equation (2.2)" become links; every numbered equation of a chapter gets an anchor for that.
"""

import re
import sys

from astroid.astroid_manager import MANAGER
from astroid.manager import AstroidManager
from docutils import nodes
from docutils.statemachine import StringList
from pages import chapter_page
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_id

LOGGER = logging.getLogger(__name__)
SECTIONS = Config(napoleon_use_ivar=True, napoleon_use_rtype=False)
LEFT_OUT = re.compile(r"^lenet5lib$|__main__|\._|exercises\.chapter_")
"""Modules without a place in the reference: private ones, and the checks that know the answers of the exercises."""
WORDS = re.compile(
    r"`(?P<code>[^`]+)`"
    r"|(?P<chapters>[Cc]hapters? \d+((, and |, | and | to |–)\d+)*)"
    r"|(?P<equation>equation \((?P<number>\d+\.\d+)\))"
)
MARKUP = re.compile(r"\s*(:[^:`]+:|\.\. .*)?\s*")
"""What napoleon writes at the beginning of a line: the name of a field, or a directive."""
TAG = re.compile(r"\\tag\{(\d+\.\d+)\}")
LONGEST_VALUE = 60


class Docstring(GoogleDocstring):
    """Google's sections; "Returns" never begins with a type here, since the signature has it."""

    def _consume_returns_section(self, preprocess_types: bool = False):
        return [("", "", self._dedent(self._consume_to_next_section()))]


class Reference(SphinxDirective):
    """`.. api:: MODULE …`: the public names of the modules, a section for each module."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the sections, those of a package's modules after the package's own."""
        known = self.env.autoapi_objects
        for name in self.arguments[0].split():
            if name not in known:
                raise self.error(f"the library has no module {name}")
        return [
            self.section(known[module])
            for name in self.arguments[0].split()
            for module in described_modules(known)
            if f"{module}.".startswith(f"{name}.")
        ]

    def section(self, module) -> nodes.Element:
        """Return one module: its docstring, then its names in the order of the source.

        A package that defines nothing itself gets no section; its docstring opens the page.
        """
        self.env.note_dependency(module.obj["file_path"])
        self.env.metadata[self.env.docname].setdefault("api", []).append(module.id)
        shown = [one for one in module.children if is_shown(one)]
        found = nodes.container()
        if shown or module.type == "module":
            title = module.id.removeprefix("lenet5lib.")
            anchor = make_id(self.env, self.state.document, "", title)
            found = nodes.section(ids=[anchor], classes=["api"])
            found += nodes.title(title, title)
        lines = [f".. py:module:: {module.id}", "", *self.text(module)]
        lines += self.passed_on(module)
        for one in shown:
            lines += self.description(one)
        content = StringList(lines, source=module.obj["file_path"])
        self.state.nested_parse(content, 0, found)
        return found

    def passed_on(self, package) -> list[str]:
        """Return the sentence that lists what a package's `__all__` names from its modules."""
        listed = package.obj["all"] or ()
        links = [
            self.link(one.obj["original_path"], one.name)
            for one in package.children
            if one.imported and one.name in listed
        ]
        name = package.id.removeprefix("lenet5lib.")
        text = f"``{name}`` itself has, from its modules: {', '.join(links)}."
        return [text, ""] if links else []

    def description(self, one) -> list[str]:
        """Return an object as reStructuredText: signature, docstring, and the members of a class."""
        head = f".. py:{one.type}:: {one.short_name}{signature(one)}"
        inner = [*options(one), "", *self.text(one)]
        for member in getattr(one, "children", ()):
            if is_shown(member) and (
                member.type != "attribute" or member.docstring
            ):
                inner += self.description(member)
        return [head, *(f"   {line}" if line else "" for line in inner)]

    def text(self, one) -> list[str]:
        """Return an object's docstring as reStructuredText."""
        docstring = Docstring(one.docstring, SECTIONS, what=one.type)
        return [*(self.line(text, one) for text in str(docstring).splitlines()), ""]

    def line(self, text: str, one) -> str:
        """Return a line of a docstring with its links, and without what would read as other markup."""
        if text.lstrip().startswith((">>>", "...")):
            return text
        end = MARKUP.match(text).end()
        parts = [text[:end]]
        for found in WORDS.finditer(text, end):
            parts += [escaped(text[end : found.start()]), self.linked(found, one)]
            end = found.end()
        return "".join([*parts, escaped(text[end:])])

    def linked(self, found: re.Match, one) -> str:
        """Return the link for chapters, an equation or a name in backticks."""
        if found["equation"]:
            return f":ref:`{found['equation']} <equation-{found['number']}>`"
        if found["chapters"]:
            several = found["chapters"][:8].lower() == "chapters"
            pattern = r"\d+" if several else r".+"
            return re.sub(pattern, self.chapter, found["chapters"])
        name = found["code"].removesuffix("()")
        if name not in {argument for _, argument, *_ in one.obj.get("args", ())}:
            for path in self.meant(name, one):
                target = self.env.autoapi_all_objects.get(path)
                if target is not None and target is not one:
                    path = target.obj.get("original_path", target.id)
                    return self.link(path, found["code"])
        return f"``{found['code']}``"

    def meant(self, name: str, one) -> list[str]:
        """Return the paths that a name in an object's docstring may stand for, the nearest first.

        A name is looked up in the object, its module and the packages around it, then as a full path, then, if it has a dot,
        anywhere in the library if only one place has it.
        """
        parts = one.id.split(".")
        around = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
        paths = [*(f"{place}.{name}" for place in around), name]
        known = self.env.autoapi_all_objects
        ends = [path for path in known if "." in name and path.endswith(f".{name}")]
        return paths + ends if len(ends) == 1 else paths

    def chapter(self, found: re.Match) -> str:
        """Return the link to a chapter by the number in its name; the build warns where there is none."""
        number = int(found[0].split()[-1])
        page = chapter_page(self.env, number) or number
        return f":doc:`{found[0]} </{page}>`"

    def link(self, path: str, text: str) -> str:
        """Return a link to an object of the library; literal text where the reference does not describe it."""
        one = self.env.autoapi_all_objects[path]
        if (
            LEFT_OUT.search(path)
            or not is_shown(one)
            or (one.type == "attribute" and not one.docstring)
        ):
            return f"``{text}``"
        role = "mod" if one.type in ("module", "package") else "obj"
        return f":py:{role}:`{text} <{path}>`"


def described_modules(known) -> list[str]:
    """Return the names of the modules that the reference describes, a package before its modules."""
    return sorted(
        name
        for name, one in known.items()
        if one.type in ("module", "package") and not LEFT_OUT.search(name)
    )


def is_shown(one) -> bool:
    """Whether a name is public, and not merely the None in place of a package that is not installed."""
    missing = (
        one.type == "data" and one.obj["value"] == "None" and not one.docstring
    )
    return one.display and not missing


def signature(one) -> str:
    """Return the arguments and the returned type; for a dataclass or named tuple, its fields."""
    if one.type in ("function", "method"):
        returned = one.return_annotation
        return f"({one.args})" + (f" -> {returned}" if returned else "")
    if one.type not in ("class", "exception"):
        return ""
    if one.constructor:
        return f"({one.constructor.args.removeprefix('self').lstrip(', ')})"
    fields: list[str] = []
    for child in one.children:
        annotation = child.type == "attribute" and child.obj["annotation"]
        if annotation and "ClassVar" not in annotation:
            # A value that autoapi cannot read is None; after a field with a default, there must be one.
            value = child.obj["value"] or (
                "..." if " = " in "".join(fields) else ""
            )
            default = f" = {value}" if value else ""
            fields.append(f"{child.name}: {annotation}{default}")
    return f"({', '.join(fields)})" if fields else ""


def options(one) -> list[str]:
    """Return the options of an object's directive: a method's kind, the type and value of a constant."""
    if one.type == "method":
        return [f":{name}:" for name in one.properties]
    annotation, value = one.obj.get("annotation"), one.obj.get("value")
    if one.type == "property":
        annotation = one.obj["return_annotation"]
    found = [f":type: {annotation}"] if annotation else []
    if value is not None and len(value) <= LONGEST_VALUE and "\n" not in value:
        found.append(f":value: {value}")
    return found


def escaped(text: str) -> str:
    """Return plain text in which reStructuredText finds no markup."""
    return re.sub(r"([\\*|_`])", r"\\\1", text)


def anchor_equations(app: Sphinx, doctree: nodes.document) -> None:
    """Give each numbered equation an anchor, `equation-2-2`, and a label to link to, `equation-2.2`.

    The number becomes text beside the formula, so that it stays in sight where a wide formula scrolls.
    """
    labels = app.env.get_domain("std").anonlabels
    for formula in doctree.findall(nodes.math_block):
        if found := TAG.search(formula.astext()):
            anchor = f"equation-{found[1].replace('.', '-')}"
            formula["ids"].append(anchor)
            if not formula.get("nowrap"):
                formula["number"] = found[1]
                formula.children = [nodes.Text(TAG.sub("", formula.astext()))]
            labels[f"equation-{found[1]}"] = app.env.docname, anchor


def resolve_type(app: Sphinx, env: BuildEnvironment, node, contnode):
    """Link the library's own types, aliases too; leave those of other libraries as text, since pages ask no other site."""
    if node.get("refdomain") != "py":
        return None
    if not re.match(r"lenet5lib(?!\._keras\.)", node["reftarget"]):
        return contnode
    one = env.autoapi_all_objects.get(node["reftarget"])
    path = one.obj.get("original_path", one.id) if one else node["reftarget"]
    where = env, node["refdoc"], app.builder, "obj", path
    return PythonDomain.resolve_xref(env.get_domain("py"), *where, node, contnode)


def check_complete(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of a module that no page describes, or several do."""
    shown = [name for page in env.metadata.values() for name in page.get("api", ())]
    for name in described_modules(env.autoapi_objects):
        if shown.count(name) != 1:
            count = shown.count(name)
            LOGGER.warning("%d pages of the API reference describe %s", count, name)


def mend_signatures(app, pagename, templatename, context, doctree) -> None:
    """Write the lines of a long signature as lines: Sphinx's list of definitions without terms is not valid HTML."""
    if "body" in context:
        context["body"] = re.sub(
            r"<dl>\n(<dd>.*?)</dl>", _as_lines, context["body"], flags=re.DOTALL
        )


def _as_lines(found: re.Match) -> str:
    """Return the parameters of one signature as spans, which `book.css` puts on a line each."""
    spans = found[1].replace("<dd>", "<span>").replace("</dd>", "</span>")
    return f'<span class="sig-lines">{spans}</span>'


class OtherLibraries:
    """The names of all modules outside the library and Python: astroid would read TensorFlow's sources for nothing."""

    def __contains__(self, name: str) -> bool:
        return name.split(".")[0] not in {"lenet5lib", *sys.stdlib_module_names}


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    others = OtherLibraries()
    MANAGER.module_denylist = AstroidManager.brain["module_denylist"] = others
    app.setup_extension("autoapi.extension")
    app.add_directive("api", Reference)
    app.connect("doctree-read", anchor_equations)
    app.connect("missing-reference", resolve_type)
    app.connect("env-check-consistency", check_complete)
    app.connect("html-page-context", mend_signatures)
    return {
        "parallel_read_safe": True,
        "parallel_write_safe": True,
        "env_version": 2,
    }
