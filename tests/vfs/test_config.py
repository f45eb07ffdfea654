from pathlib import Path

import pytest

from vfs import config
from vfs.auth.right import Right
from vfs.toml_file import ConfigError
from vfs.toml_lines import Key, TomlLines
from vfs.toml_text import effective

MOUNT = '[mounts."/a"]\nprovider = "local"\nroot = "a"\n'
RULE = '[[rules]]\npath = "/"\nwho = ["anyone"]\nrights = ["read"]\n'

FULL = """\
[server]
listen = "[::1]:8443"
state_dir = "var/state"
public_url = "https://gw.example.org/"
tls_cert = "cert.pem"
tls_key = "key.pem"
trusted_proxies = ["10.0.0.5/32", "fd00::/8"]

[log]
level = "debug"
format = "json"

[mounts."/site-a"]
provider = "local"
root = "a"
symlinks = "inside"
read_only = true

[[mounts."/site-a".replicas]]
provider = "local"
root = "b"

[mounts."/site-a/deep//scratch/"]
provider = "memory"
size_bytes = 1000

[[rules]]
path = "/site-a/"
who = ["user:alice", "group:lofar", "authenticated", "anyone", "scope"]
rights = ["list", "read", "create", "modify", "delete", "lock", "share", "admin"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    return tmp_path


def load(folder: Path, text: str) -> config.Config:
    path = folder / "headgate.toml"
    path.write_text(text)
    return config.load(path)


def refusal(folder: Path, text: str) -> str:
    """Return the error without the file's name."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    told = str(caught.value)
    assert "\n" not in told
    return told.removeprefix(f"{folder}/headgate.toml:")


def test_every_setting_is_read(folder: Path) -> None:
    read = load(folder, FULL)
    assert (read.server.listen.host, read.server.listen.port) == ("::1", 8443)
    assert read.server.state_dir == folder / "var/state"
    assert read.server.cache_dir == folder / "cache"
    assert read.public_url == "https://gw.example.org"
    assert read.server.trusted_proxies == ("10.0.0.5/32", "fd00::/8")
    assert (read.log.level, read.log.format) == ("debug", "json")
    first, second = read.mounts
    assert (first.path, first.read_only) == ("/site-a", True)
    assert [getattr(store.options, "root", None) for store in first.stores] == [
        folder / "a",
        folder / "b",
    ]
    assert (second.path, second.provider, second.read_only) == (
        "/site-a/deep/scratch",
        "memory",
        False,
    )
    (rule,) = read.grants()
    assert rule.path == "/site-a"
    assert rule.rights == frozenset(Right)


def test_the_effective_text_reads_as_the_same_configuration(folder: Path) -> None:
    read = load(folder, FULL)
    assert load(folder, effective(read)) == read


def test_defaults_are_those_of_a_single_machine(folder: Path) -> None:
    read = load(folder, MOUNT)
    assert read.public_url == "http://127.0.0.1:8080"
    assert read.server.listen.is_loopback
    assert read.server.trusted_proxies == ()
    assert read.server.state_dir == folder / "state"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[server]\nlisen = "x"\n', "2: [server] has no key 'lisen'; did you mean 'listen'?"),
        ("[server]\nlisten = 5\n", "2: server.listen must be text, not a whole number"),
        ("\n[serve]\n", "2: there is no section [serve]; did you mean [server]?"),
        ("server = 5\n", "1: server must be a table, not a whole number"),
        (
            '[log]\n\nlevel = "warn"\n',
            "3: log.level must be one of debug, info, warning, error; did you mean 'warning'?",
        ),
        ('[log]\nlevel = "a"\nlevel = "b"\n', "3: this is not TOML: Cannot overwrite a value"),
        ("[log]\nlevel = \n", "2: this is not TOML: Invalid value"),
        ('[log]\nlevel = """', "2: this is not TOML: "),
        ("x = " + "[" * 5000 + "]" * 5000, "1: values are nested too deeply"),
        ("", "1: the configuration mounts no store; add a table such as"),
        ('[mounts."/a"]\nroot = "a"\n', """1: [mounts."/a"] lacks the key 'provider'; known"""),
        ('[mounts."/a"]\nprovider = "local"\n', """1: [mounts."/a"] lacks the key 'root'"""),
        (
            '[mounts."/a"]\nprovider = "lokal"\n',
            """2: mounts."/a".provider: there is no provider 'lokal'; did you mean 'local'?""",
        ),
        (
            MOUNT + '[[mounts."/a".replicas]]\n\nprovider = "x"\n',
            """6: mounts."/a".replicas.provider: there is no provider 'x'; known are:""",
        ),
        (
            MOUNT + '[[mounts."/a".replicas]]\nprovider = "local"\nroot = "b"\nrot = 1\n',
            """7: [[mounts."/a".replicas]] has no key 'rot'; did you mean 'root'?""",
        ),
        (MOUNT + "replicas = 1\n", """4: mounts."/a".replicas must be a list of tables"""),
        (MOUNT + 'read_only = "no"\n', """4: mounts."/a".read_only must be true or false"""),
        (
            'mounts."/a" = {provider = "local", root = "a", symlink = "refuse"}\n',
            """1: [mounts."/a"] has no key 'symlink'; did you mean 'symlinks'?""",
        ),
        (
            MOUNT + '[mounts."/a//"]\nprovider = "memory"\n',
            """4: [mounts."/a//"] is the same mount as [mounts."/a"] in line 1""",
        ),
        (MOUNT + MOUNT, "4: this is not TOML: Cannot declare"),
        ('[mounts."a"]\n', "1: [mounts.a] is no path to mount at: a path starts with a slash"),
        ('[mounts.""]\n', """1: [mounts.""] is no path to mount at: a path starts with"""),
        (
            '[mounts."/b/../a"]\n',
            """1: [mounts."/b/../a"] is no path to mount at: a path may not""",
        ),
        (
            '[mounts."/.headgate-a"]\n',
            """1: [mounts."/.headgate-a"] is no path to mount at: names""",
        ),
        ('[mounts."/a\\n"]\nprovider = 1\n', """2: mounts."/a\\n".provider must be text"""),
        (
            '[mounts."/a"]\nprovider = "local"\nroot = "gone"\n',
            """3: mounts."/a".root: '{folder}/gone' does not exist""",
        ),
        (
            '[mounts."/a"]\nprovider = "local"\nroot = "key.pem"\n',
            """3: mounts."/a".root: '{folder}/key.pem' is not a folder""",
        ),
        ('[server]\ntls_cert = "cert.pem"\n', "2: [server] has 'tls_cert' but not 'tls_key'"),
        ('[server]\ntls_key = "key.pem"\n', "2: [server] has 'tls_key' but not 'tls_cert'"),
        (
            '[server]\ntls_cert = "cert.pem"\ntls_key = "gone"\n',
            "3: server.tls_key: '{folder}/gone' does not exist",
        ),
        ('[server]\nlisten = "8080"\n', "2: server.listen needs a host and a port"),
        ('[server]\nlisten = ":8080"\n', "2: server.listen needs a host; 0.0.0.0 and [::]"),
        ('[server]\nlisten = "::1:8080"\n', "2: server.listen needs brackets"),
        ('[server]\nlisten = "127.0.0.1:65536"\n', "2: server.listen needs a host and a port"),
        ('[server]\nlisten = "127.0.0.256:80"\n', "2: server.listen holds no host name"),
        ('[server]\nlisten = "a b:80"\n', "2: server.listen holds no host name"),
        (
            '[server]\nlisten = "0.0.0.0:80"\n' + MOUNT,
            "2: server.listen '0.0.0.0:80' can be reached by others, but no rule",
        ),
        (
            '[server]\nlisten = "gw.example.org:80"\n' + MOUNT,
            "2: server.listen 'gw.example.org:80'",
        ),
        (
            '[server]\ntrusted_proxies = ["::/0", "10.0.0.1/8"]\n',
            "2: server.trusted_proxies[1] must be a network like 10.0.0.5/32",
        ),
        ('[server]\npublic_url = "gw.example.org"\n', "2: server.public_url must be a URL like"),
        ('[server]\npublic_url = "https://a:b@c"\n', "2: server.public_url must be a URL like"),
        ('[server]\nstate_dir = ""\n', "2: server.state_dir must name a file or folder"),
        (MOUNT + '[[rules]]\npath = "/"\n', "4: [[rules]] lacks the key 'who'"),
        (
            MOUNT + RULE + RULE.replace("anyone", "bob"),
            "10: rules.who must hold 'user:NAME', 'group:NAME'",
        ),
        (MOUNT + RULE.replace("anyone", "user:"), "6: rules.who must hold 'user:NAME'"),
        (
            MOUNT + RULE.replace("read", "reed"),
            "7: rules.rights[0] must be one of list, read, create, modify, delete, lock",
        ),
        (MOUNT + RULE.replace('"/"', '"/b"'), "5: rules.path '/b' concerns no mount; mounted"),
        (MOUNT + RULE.replace('"/"', '"/a/../b"'), "5: rules.path is no path: a path may not"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_key(folder: Path, text: str, told: str) -> None:
    assert refusal(folder, text).startswith(told.replace("{folder}", str(folder)))


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.8.8.8:1", "[::1]:65535", "LocalHost:80"])
def test_a_loopback_address_needs_no_rule(folder: Path, listen: str) -> None:
    assert load(folder, f'[server]\nlisten = "{listen}"\n{MOUNT}').server.listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "[::]:80", "gw.example.org:80", "10.0.0.1:80"])
def test_another_address_is_taken_with_a_rule(folder: Path, listen: str) -> None:
    assert load(folder, f'[server]\nlisten = "{listen}"\n{MOUNT}{RULE}').server.listen == listen


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"\n\xff\n", ":2: the text is not UTF-8"), (b"#" * (5 << 20), ": this is no configuration")],
)
def test_a_file_that_is_no_text_is_refused(folder: Path, data: bytes, told: str) -> None:
    path = folder / "headgate.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert str(caught.value).startswith(f"{path}{told}")


def test_a_file_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        config.load(folder / "gone.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        config.load(folder)


LINES = '''\
top = 1
[server]
listen = """
x ] [ # no comment
"""
"q.x" . b = {c = 1, d = "}"}
[mounts."/a"] # [comment]
list = [
  "a", # ]
  {x = 1},
]
after = 2
[[mounts."/a".replicas]]
p = 1
[[mounts."/a".replicas]]
p = 2
[mounts."/a".replicas.sub]
z = 'it"s'
[[rules]]
q = \'\'\'
x \'\'\'\'\'
r = "\\"#"
[late.inner]
[late]
'''


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("top",), 1),
        (("server", "listen"), 3),
        (("server", "q.x", "b", "c"), 6),
        (("mounts",), 7),
        (("mounts", "/a", "list"), 8),
        (("mounts", "/a", "list", 1, "x"), 8),
        (("mounts", "/a", "after"), 12),
        (("mounts", "/a", "replicas", 0, "p"), 14),
        (("mounts", "/a", "replicas", 1), 15),
        (("mounts", "/a", "replicas", 1, "p"), 16),
        (("mounts", "/a", "replicas", 1, "sub", "z"), 18),
        (("rules", 0, "q"), 20),
        (("rules", 0, "r"), 22),
        (("rules", 0, "absent"), 19),
        (("late", "inner"), 23),
        (("late",), 24),
        (("absent",), 1),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_each_key_is_found_in_its_line(key: Key, line: int, newline: str) -> None:
    assert TomlLines(LINES.replace("\n", newline)).line(key) == line


TEMPLATE = """\
[templates.tiffstore]
path = "{subject:id}/{date:date}/{layer:int}/{grid:grid}"
source = "/a/{subject}/{date}.tif"
run = ["tiff.window"]
"""


def test_templates_are_read_and_shown(folder: Path) -> None:
    more = 'grid_order = "yyxx"\nlayer_base = 1\nformats = ["tif", "png"]\nparams = {level = 1}\n'
    limits = "[processing]\nprefix = '/made/'\nworkers = 3\n[processing.limits]\npixels = 1000\n"
    read = load(folder, MOUNT + limits + TEMPLATE + more)
    assert read.processing is not None
    assert (read.processing.prefix, read.processing.workers) == ("/made", 3)
    assert (read.processing.limits.pixels, read.processing.limits.tags) == (1000, 4096)
    template = read.templates["tiffstore"]
    assert template.formats == ("tif", "png")
    shown = effective(read)
    assert "[templates.tiffstore]" in shown
    assert "pixels = 1000" in shown
    again = load(folder, shown.replace("8080", "8081"))
    assert again.templates["tiffstore"].digest == template.digest
    assert again.processing == read.processing


def test_derived_files_are_there_when_they_are_configured(folder: Path) -> None:
    assert load(folder, MOUNT).processing is None
    for text in ("[processing]\n", TEMPLATE):
        processing = load(folder, MOUNT + text).processing
        assert processing is not None
        assert processing.prefix == "/dispel"
    rule = RULE.replace('"/"', '"/dispel/tiffstore"')
    assert load(folder, MOUNT + TEMPLATE + rule).rules


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        (TEMPLATE.replace("tiff.window", "tiff.windw"), 7, "did you mean 'tiff.window'?"),
        (TEMPLATE.replace("run = ", "runs = "), 7, "has no key 'runs'; did you mean 'run'?"),
        (TEMPLATE.replace('["tiff.window"]', "[]"), 7, "at least one processor"),
        (TEMPLATE.replace('["tiff.window"]', '"tiff.window"'), 7, "templates.tiffstore.run"),
        (TEMPLATE.replace("{layer:int}", "{colour:int}"), 5, "takes 'colour'"),
        (TEMPLATE.replace("{layer:int}", "{layer:date}"), 5, "its kind is 'layers'"),
        (TEMPLATE.replace("{date}.tif", "{day}.tif"), 6, "names the value 'day'"),
        (TEMPLATE.replace("templates.tiffstore", 'templates."a b"'), 4, "a template's name"),
        (TEMPLATE + "params = {levl = 1}\n", 8, "did you mean 'level'?"),
        (TEMPLATE + 'grid_order = "xyxy"\n', 8, "must be one of xxyy, yyxx"),
        (TEMPLATE + "layer_base = 2\n", 8, "templates.tiffstore.layer_base"),
        (TEMPLATE + 'format = "gif"\n', 8, "'gif' is not among the formats"),
        (TEMPLATE + TEMPLATE, 8, "not TOML"),
        ("[processing]\nprefix = '/'\n", 5, "must not be the root"),
        ("[processing]\nprefix = '/a'\n", 1, "is where derived files appear"),
        ("[processing]\nprefix = 'x/../y'\n", 5, "processing.prefix is no path"),
        ("[processing]\nworkrs = 1\n", 5, "did you mean 'workers'?"),
        ("[processing.limits]\npixels = 0\n", 5, "must be above 0"),
        ("[processing.limits]\npixel = 1\n", 5, "did you mean 'pixels'?"),
    ],
)
def test_a_template_that_cannot_work_is_told_by_key_and_line(
    folder: Path, text: str, line: int, told: str
) -> None:
    refused = refusal(folder, MOUNT + text)
    assert refused.startswith(f"{line}: "), refused
    assert told in refused
