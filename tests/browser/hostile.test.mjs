// The page's renderer under hostile model output: its own source (www/src/markdown.ts), in a bare page without a
// content security policy, so that nothing but the renderer itself stands in the way.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch } from "./browser.mjs";
import { root } from "./periapt.mjs";

const require = createRequire(new URL("../../www/package.json", import.meta.url));

/** What an attacker writes; BEACON is an address that must never be asked for, and hit() must never run. */
const PARTS = {
  scripts: [
    "<script>hit()</script>",
    "<script src=BEACON></script>",
    "<scr<script>ipt>hit()</scr</script>ipt>",
    "<SCRIPT>hit()</SCRIPT >",
    "<svg><script>hit()</script></svg>",
    "<script type=module>import('BEACON')</script>",
    "```html\n<script>hit()</script>\n```\n</code></pre><script>hit()</script>",
    "`</code><script>hit()</script>`",
  ],
  handlers: [
    "<img src=x onerror=hit()>",
    "<svg onload=hit()>",
    "<body onload=hit()>",
    "<details open ontoggle=hit()>x</details>",
    "<input autofocus onfocus=hit()>",
    "<video><source onerror=hit()></video>",
    "<a href='#' onmouseover=hit()>x</a>",
    "<div style='animation: x 1s' onanimationstart=hit()>x</div>",
    "<math><mtext><table><mglyph><style><img src=x onerror=hit()>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=hit()>",
    "<noscript><p title='</noscript><img src=x onerror=hit()>'>",
    "<p title=\"--><img src=x onerror=hit()>\">",
    "[x](https://a.example \"' onmouseover='hit()\")",
  ],
  links: [
    "[click](javascript:hit())",
    "[click](JaVaScRiPt:hit())",
    "[click](java&#x09;script:hit())",
    "[click](&#106;avascript:hit())",
    "[click]( javascript:hit())",
    "[click](data:text/html,<script>hit()</script>)",
    "[click](vbscript:hit())",
    "[click](blob:https://a.example/x)",
    "[click](file:///etc/passwd)",
    "<javascript:hit()>",
    "<a href=javascript:hit()>click</a>",
    "<a href=' javascript:hit()' target=_self>click</a>",
    "[r]: javascript:hit()\n\n[click][r]",
    "[![click](BEACON)](javascript:hit())",
    "<area href=javascript:hit()>",
    "<form action=javascript:hit()><button>click</button></form>",
    "<button formaction=javascript:hit()>click</button>",
    "<math href=javascript:hit()>click</math>",
    "<svg><a xlink:href=javascript:hit()><text>click</text></a></svg>",
  ],
  beacons: [
    "![pixel](BEACON)",
    "![pixel][r]\n\n[r]: BEACON",
    "<img src=BEACON>",
    "<img srcset='BEACON 1x'>",
    "<picture><source srcset=BEACON><img></picture>",
    "<link rel=stylesheet href=BEACON>",
    "<style>@import url(BEACON);</style>",
    "<style>* { background: url(BEACON) }</style>",
    "<p style='background: url(BEACON)'>x</p>",
    "<iframe src=BEACON></iframe>",
    "<iframe srcdoc='<img src=BEACON>'></iframe>",
    "<object data=BEACON></object>",
    "<embed src=BEACON>",
    "<video poster=BEACON></video>",
    "<audio src=BEACON autoplay></audio>",
    "<base href=BEACON>",
    "<meta http-equiv=refresh content='0;url=BEACON'>",
    "<link rel=prefetch href=BEACON>",
    "<svg><image href=BEACON /></svg>",
    "<svg><use href='BEACON#x' /></svg>",
    "<table background=BEACON><tr><td>x</td></tr></table>",
    "<input type=image src=BEACON>",
    "<a href=https://a.example ping=BEACON>click</a>",
  ],
  broken: [
    "**bold *both ***",
    "[text](",
    "[text](https://a.example \"title",
    "![",
    "```\nnever closed <img src=x onerror=hit()>",
    "| a | b |\n|---|\n| <img src=x onerror=hit()> | ",
    "> > > - 1. # x\n\n\t\t<svg onload=hit()>",
    `${"[".repeat(500)}x${"](y)".repeat(500)}`,
    "*".repeat(2000),
    `${"> ".repeat(300)}deep`,
    "&lt;script&gt;hit()&lt;/script&gt;",
    "\u0000<img src=x onerror=hit()>\u0000",
    "<\u200bscript>hit()</script>",
    "\ufeff<img src=x\u2028onerror=hit()>",
    "<!-- --!><img src=x onerror=hit()> -->",
    "<![CDATA[<img src=x onerror=hit()>]]>",
    "<?xml version='1.0'?><x:script xmlns:x='http://www.w3.org/1999/xhtml'>hit()</x:script>",
    "</div></body></html><script>hit()</script>",
    "<plaintext><img src=x onerror=hit()>",
    "<xmp><img src=x onerror=hit()></xmp>",
    "<template><img src=x onerror=hit()></template>",
    "<title><img src=x onerror=hit()></title>",
    "<textarea><img src=x onerror=hit()></textarea>",
    "<div id=app name=body>clobbered</div><form name=getElementById></form>",
    "<dialog open><form method=dialog><button>click</button></form></dialog>",
    "<slot name=x></slot><custom-element onclick=hit()>click</custom-element>",
    "- <img src=x onerror=hit()>\n  1. <svg/onload=hit()>\n",
    "# <img src=x onerror=hit()>\n## [x](javascript:hit())",
    "Text with <b onclick=hit()>click</b> and <i/onmouseover=hit()>click</i>",
    "&#60;img src=x onerror=hit()&#62;",
    "\\<img src=x onerror=hit()\\>",
    "<a href=\"https://a.example\"><img src=x onerror=hit()></a>",
    "a&#x0;b<img/src=x/onerror=hit()>",
    "<img src=x:x onerror&#x3d;hit()>",
    "<<img src=x onerror=hit()>>",
    "[<img src=x onerror=hit()>](https://a.example)",
    "<img src='x' onerror='hit()' alt='`'>`",
  ],
};

/** A small generator of numbers that are the same in every run (mulberry32). */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe("hostile output", { timeout: 600_000 }, () => {
  let browser;
  let server;
  let origin;
  const asked = [];

  before(async () => {
    const { build } = await import(require.resolve("vite").replace(/index\.cjs$/, "index.js"));
    const [{ output }] = [
      await build({
        root: join(root, "www"),
        configFile: false,
        logLevel: "silent",
        build: { write: false, lib: { entry: join(root, "www/src/markdown.ts"), formats: ["es"] } },
      }),
    ].flat();
    const code = output[0].code;
    server = createServer((request, response) => {
      asked.push(request.url);
      if (request.url === "/") response.setHeader("content-type", "text/html").end("<!doctype html><title>bare</title><div id=text></div>");
      else if (request.url === "/markdown.js") response.setHeader("content-type", "text/javascript").end(code);
      else response.writeHead(404).end();
    });
    await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
    origin = `http://127.0.0.1:${server.address().port}`;
    browser = await launch({ webgpu: false });
  });

  after(async () => {
    await browser?.close();
    server?.close();
  });

  /** Streams `texts` through the renderer at random splits; gives what is left of each, and what ran. */
  async function stream(render, parts) {
    const texts = parts.map((text) => text.replaceAll("BEACON", `${origin}/beacon`));
    const page = await (await browser.newContext()).newPage();
    const next = random(5);
    const pieces = texts.map((text) => {
      const lengths = [];
      for (let at = 0; at < text.length; at += lengths.at(-1)) lengths.push(1 + Math.floor(next() * Math.max(4, text.length / 8)));
      return { text: `Sure! ${text}\n\nAnything else?`, lengths };
    });
    const outside = [];
    page.on("request", (request) => outside.push(request.url()));
    page.on("dialog", (dialog) => dialog.dismiss());
    await page.goto(origin);
    outside.length = 0;
    asked.length = 0;
    const results = await page.evaluate(
      async ([pieces, render]) => {
        const { renderMarkdown } = await import("/markdown.js");
        const hits = [];
        const element = document.getElementById("text");
        const put = render === "safe" ? renderMarkdown : (element, text) => (element.innerHTML = text);
        const results = [];
        for (const { text, lengths } of pieces) {
          globalThis.hit = () => hits.push(text);
          let at = 0;
          for (const length of [...lengths, text.length]) {
            at = Math.min(text.length, at + length);
            put(element, text.slice(0, at));
          }
          for (const link of element.querySelectorAll("a, button, area")) {
            link.addEventListener("click", (event) => /^https?:/.test(link.href ?? "") && event.preventDefault());
            link.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
            link.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
          }
          await new Promise((turn) => setTimeout(turn, 5));
          const all = [...element.querySelectorAll("*")];
          results.push({
            text,
            shown: element.textContent,
            tags: [...new Set(all.map((node) => node.localName))],
            attributes: all.flatMap((node) => [...node.attributes].map(({ name, value }) => `${name}=${value}`)),
          });
        }
        await new Promise((turn) => setTimeout(turn, 300));
        return { results, hits };
      },
      [pieces, render],
    );
    await page.context().close();
    return { ...results, outside: outside.filter((url) => !url.endsWith("/markdown.js")) };
  }

  test("nothing runs, nothing is asked for, nothing but text and its marks is left", async () => {
    const all = Object.values(PARTS).flat();
    assert.ok(all.length >= 100, `${all.length} texts`);
    const { results, hits, outside } = await stream("safe", all);
    assert.deepEqual(hits, []);
    assert.deepEqual(outside, []);
    assert.deepEqual(asked.filter((path) => path.includes("beacon")), []);
    const allowed = new Set(
      "a blockquote br code del em h1 h2 h3 h4 h5 h6 hr li ol p pre strong table tbody td th thead tr ul".split(" "),
    );
    for (const { text, shown, tags, attributes } of results) {
      assert.deepEqual(tags.filter((tag) => !allowed.has(tag)), [], text);
      for (const attribute of attributes) {
        assert.match(attribute, /^(href=https?:\/\/|rel=|target=_blank$|start=|role=heading$|aria-level=)/, `${text}: ${attribute}`);
      }
      assert.ok(shown.startsWith("Sure!"), `${text} is gone: ${shown}`);
    }
  });

  test("the comparison finds what a plain renderer would let through", async () => {
    const { hits, outside } = await stream("plain", [...PARTS.handlers, "<img src=BEACON>"]);
    assert.ok(hits.length > 5, `${hits.length} ran`);
    assert.ok(outside.some((url) => url.includes("beacon")));
  });

  test("ordinary Markdown stays what it is", async () => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(origin);
    const html = await page.evaluate(async () => {
      const { renderMarkdown } = await import("/markdown.js");
      const element = document.getElementById("text");
      renderMarkdown(element, "# Title\n\nSome *text*, **bold**, `code`.\n\n3. three\n4. four\n\n[a](https://a.example)\n\n```\na < b\n```\n\n| x |\n|---|\n| 1 |");
      return element.innerHTML;
    });
    for (const part of ["<em>text</em>", "<strong>bold</strong>", "<code>code</code>", '<ol start="3">', 'href="https://a.example"', "a &lt; b", "<td>1</td>", 'rel="noopener noreferrer nofollow"']) {
      assert.ok(html.includes(part), `${part} is missing in ${html}`);
    }
    await page.context().close();
  });
});
