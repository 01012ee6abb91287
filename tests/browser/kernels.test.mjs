// Every kernel in every variant compiles in Chromium. In WASM a WGSL error is only logged; here it is a failure.
// The Rust test of the shaders crate (shaders/tests/validate.rs) writes the variants out.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch } from "./browser.mjs";
import { root } from "./periapt.mjs";
import { serve } from "./server.mjs";

const folder = join(root, "target/tmp/wgsl");

describe("kernels", () => {
  let server, browser, page;
  before(async () => {
    server = await serve(join(root, "www/dist"));
    browser = await launch();
    page = await browser.newPage();
    await page.goto(server.origin);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  /** What Tint says of each source, by its name; nothing where it compiles. */
  const compile = (sources) =>
    page.evaluate(async (sources) => {
      const adapter = await navigator.gpu.requestAdapter();
      const device = await adapter.requestDevice({
        requiredFeatures: ["subgroups"].filter((feature) => adapter.features.has(feature)),
      });
      const said = {};
      for (const [name, code] of sources) {
        if (code.startsWith("enable subgroups") && !device.features.has("subgroups")) continue;
        device.pushErrorScope("validation");
        const module = device.createShaderModule({ code });
        const { messages } = await module.getCompilationInfo();
        const errors = messages.filter((message) => message.type === "error");
        if (errors.length > 0) said[name] = errors.map((error) => `${error.lineNum}: ${error.message}`);
        await device.popErrorScope();
      }
      device.destroy();
      return said;
    }, sources);

  test("every variant compiles", async (t) => {
    if (!existsSync(folder)) {
      assert.notEqual(process.env.PERIAPT_REQUIRE_ALL, "1", "the Rust tests, which write the kernels, have not run");
      t.skip("the Rust tests, which write the kernels, have not run");
      return;
    }
    const files = readdirSync(folder).filter((name) => name.endsWith(".wgsl"));
    assert.ok(files.length > 100, String(files.length));
    const said = await compile(files.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
    assert.deepEqual(said, {});
  });

  test("a planted fault is found", async () => {
    const said = await compile([["planted", "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }"]]);
    assert.match(String(said.planted), /u32/);
  });
});
