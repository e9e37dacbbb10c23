#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page at "/": what is in it, and, where there is a Chromium, what it does under the server's policy. And the files of
deploy/: the options that they name must be those of `retort serve`. Prints TAP.

    page.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import base64
import hashlib
import html.parser
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

sys.dont_write_bytecode = True
from server import HERE, Server, Skip, main, model, rows, test, wait_until

ROOT = pathlib.Path(sys.argv[2])
NAMES = "chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
MODELS = f"labels={model('distilbert-classify')},vectors={model('package-mean')}"


class Page(html.parser.HTMLParser):
    """All elements with their attributes; what is opened must be closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"


def asked_of(name, text):
    """What the page says and marks when this checkpoint is asked."""
    with Server(model(name)) as server:
        document, console = see(f"{server.url}/#text={urllib.parse.quote(text)}")
        server.stop()
    assert not console, console
    assert "<p class=\"error\" id=\"error\" role=\"alert\" hidden" in document, text_of(document, "error")
    return text_of(document, "spoken"), text_of(document, "marked")


def see(url):
    """The document as Chromium has it a few seconds after loading, and what the console said."""
    done = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
                           f"--user-data-dir={HERE / 'profile'}", "--virtual-time-budget=4000", "--dump-dom", url], capture_output=True,
                          text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def ask_browser(url, script):
    """What a script gives, an expression that may be a promise, in the page at `url`; by the DevTools protocol over a pipe."""
    (theirs, to), (back, mine) = os.pipe(), os.pipe()
    command = f'exec 3<&{theirs} 4>&{mine}; exec "$0" --headless=new --no-sandbox --disable-gpu --remote-debugging-pipe --user-data-dir="$1"'
    browser = subprocess.Popen(["bash", "-c", command, CHROMIUM, str(HERE / "profile")], pass_fds=(theirs, mine),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(theirs)
    os.close(mine)
    with open(back, "rb") as answers:

        def call(number, method, session=None, **params):
            message = {"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})}
            os.write(to, json.dumps(message).encode() + b"\0")
            said = b""
            while True:  # events come between
                byte = answers.read(1)
                assert byte, f"{method}: the browser has ended"
                if byte != b"\0":
                    said += byte
                elif json.loads(said).get("id") == number:
                    return json.loads(said)["result"]
                else:
                    said = b""

        try:
            target = call(1, "Target.createTarget", url=url)["targetId"]
            session = call(2, "Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            number = itertools.count(3)

            def evaluate(expression):
                result = call(next(number), "Runtime.evaluate", session, expression=expression, awaitPromise=True, returnByValue=True)
                return result["result"].get("value")

            ready = "location.href !== 'about:blank' && document.readyState === 'complete'"
            wait_until(lambda: evaluate(ready), "the page is there")
            return evaluate(script)
        finally:
            os.close(to)
            browser.kill()
            browser.wait()


def text_of(document, name):
    found = re.search(rf'id="{name}"[^>]*>(.*?)</(?:p|ul|table|tbody|pre|div)>', document, re.S)
    return re.sub(r"<[^>]+>", " ", found[1]).strip() if found else ""


@test
def deploy_names_real_options():
    known = {"--" + option["name"] for option in rows("help", "serve")[0]["options"]}
    for path in sorted((ROOT / "deploy").iterdir()):
        if path.is_dir() or path.name == "compose.yaml":  # deploy.py starts a server with theirs
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        assert "SPDX-License-Identifier" in lines[0], path
        others = re.compile(r"#\s+(podman|kubectl|curl)|RUN |\s+lib|COPY|# Probes|.*--cpus")  # options of other programs
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join(line for line in lines if not others.match(line))))
        assert named <= known, f"{path}: {named - known} is no option of retort serve"
    assert "--drain-delay" in (ROOT / "deploy/kserve.yaml").read_text(encoding="utf-8")


@test
def page_and_policy():
    with Server("--name", MODELS) as server:
        status, headers, body = server.send("GET", "/", headers={"Accept": "text/html"})
        server.stop()
    page, policy = body.decode(), headers["content-security-policy"]
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for tag in ("script", "style"):
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        assert len(bodies) == 1 and base64.b64encode(hashlib.sha256(bodies[0].encode()).digest()).decode() in policy, tag


@test
def elements():
    page = (ROOT / "app/serve/wire/page.html").read_text(encoding="utf-8")
    found = Page(page).elements
    ids = [attrs["id"] for _, attrs in found if "id" in attrs]
    labelled = {attrs.get("for") for tag, attrs in found if tag == "label"}
    assert len(ids) == len(set(ids)), "an id appears twice"
    for tag, attrs in found:
        assert not any(name.startswith("on") or name == "style" for name in attrs), f"{tag}: the policy forbids {attrs}"
        assert tag not in ("img", "iframe", "object") and "src" not in attrs, f"{tag}: an asset"
        assert not re.match(r"(https?:)?//", attrs.get("href", "")), f"{tag}: {attrs['href']} is elsewhere"
        assert tag not in ("textarea", "select", "input") or attrs["id"] in labelled, f"{tag}: no label"
        assert all(name in ids for name in attrs.get("aria-labelledby", "").split() + attrs.get("aria-describedby", "").split())
    used = set(re.findall(r'\bat\("([^"]+)"\)', page))
    assert used <= set(ids), f"the script asks for {used - set(ids)}"
    assert "innerHTML" not in page and "document.write" not in page and "eval(" not in page
    assert dict(found)["html"]["lang"] == "en" and {"alert", "status"} <= {attrs.get("role") for _, attrs in found}


@test
def asks_and_shows():
    if CHROMIUM is None:
        raise Skip("no Chromium")
    text = "a very good <b>film</b> & \"more\""
    with Server("--name", MODELS) as server:
        document, console = see(f"{server.url}/#text={urllib.parse.quote(text)}")
        server.stop()
    assert not console, console
    assert text_of(document, "about").startswith("labels · classify · 3 labels"), text_of(document, "about")
    shown = re.findall(r'<th scope="row">([^<]*)</th>', document[document.index('id="labels"'):])
    assert set(shown[:3]) == {"negative", "neutral", "positive"}, shown
    assert re.match(r"Answer: (negative|neutral|positive), \d", text_of(document, "spoken"))
    assert "[CLS]" in text_of(document, "tokens") and "Inference" in text_of(document, "times")
    assert "&lt;b&gt;" in text_of(document, "curl") and "<b>" not in document
    assert "Memory" in text_of(document, "gauges")


@test
def chosen_model_and_cut_texts():
    if CHROMIUM is None:
        raise Skip("no Chromium")
    script = """(async () => {
      const at = id => document.getElementById(id), seen = [];
      const until = async holds => { for (let i = 0; i < 1000 && !holds(); i++) await new Promise(done => setTimeout(done, 10)); };
      const choose = async name => {
        at("model").value = name;
        at("model").dispatchEvent(new Event("change"));
        await until(() => at("about").textContent.startsWith(name));
        seen.push(at("about").textContent, document.title, at("pair-label").textContent);
      };
      const run = async text => {
        at("text").value = text;
        at("spoken").textContent = "";
        at("form").requestSubmit();
        await until(() => at("spoken").textContent || !at("error").hidden);
        seen.push(at("cut").hidden ? "" : at("cut").textContent);
      };
      await until(() => at("about").textContent.startsWith("labels"));
      await run("a very good film");
      await run("good film bad acting ".repeat(100));
      await choose("vectors");
      seen.push(at("cut").hidden ? "" : at("cut").textContent);
      await run("good film bad acting ".repeat(100));
      await choose("labels");
      return seen;
    })()"""
    with Server("--name", MODELS) as server:
        limits = [server.get(f"/models/{name}/info")["max_input_length"] for name in ("labels", "vectors")]
        seen = ask_browser(server.url, script)
        server.stop()
    assert len(seen) == 10, seen
    assert seen[0] == "" and seen[1] == f"A text was cut: the model reads {limits[0]} tokens.", seen[:2]
    assert seen[2].startswith("vectors · embed · 16 dimensions · float32 · ") and seen[3].startswith("vectors "), seen[2:4]
    assert seen[4] == "Texts to compare it with, one per line" and seen[5] == "", seen[4:6]
    assert seen[6] == f"A text was cut: the model reads {limits[1]} tokens.", seen[6]
    assert seen[7].startswith("labels · classify · 3 labels · float32 · ") and seen[8].startswith("labels "), seen[7:]


@test
def other_tasks():
    if CHROMIUM is None:
        raise Skip("no Chromium")
    said, marked = asked_of("bert-tag", "é very good film")
    assert said.startswith("Answer: ") and re.sub(r"\s+", "", marked).startswith("é"), (said, marked)
    said, _ = asked_of("bert-fill", "a very [MASK] film")
    assert re.match(r"Answer: \S+, \d+\.\d %", said), said
    said, _ = asked_of("package-mean", "a very good film")
    assert re.match(r"Answer: closest: .*, cosine -?\d\.\d{3}", said), said
    said, marked = asked_of("bert-answer", "is it")  # the context is the page's example
    assert said.startswith("Answer: ") and "1932" in marked, (said, marked)


main()
