// Drives a browser over the console of a mesh that the test serves. It ends
// with 0 if everything held; else the first thing that did not is on standard
// error. What it changes in the mesh it changes by commands.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { chromium } from "playwright-core";

const { BASE, DRMESH, EAST, CHROMIUM, SHOTS } = process.env;
const wait = 20_000;
const east = "%east#m1", west = "%west#m1";

const drmesh = (...args) => execFileSync(DRMESH, [...args, "--dir", EAST], { encoding: "utf8" });
const api = async (route) => {
  const r = await fetch(BASE + route);
  assert.equal(r.status, 200, route);
  return r.json();
};
// The page and the API are looked at one after the other: what moves in between
// is looked at again.
const eventually = async (check) => {
  for (const until = Date.now() + wait; ; await new Promise((go) => setTimeout(go, 200))) {
    try {
      return await check();
    } catch (e) {
      if (Date.now() > until) throw e;
    }
  }
};
const step = (text) => console.log(text);

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// open makes a page that notes whatever a page must not do.
async function open(options) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (m) => { if (m.type() === "error" || m.type() === "warning") wrong.push(`${m.type()}: ${m.text()}`); });
  page.on("pageerror", (e) => wrong.push(`error: ${e.message}`));
  page.on("request", (r) => { if (!r.url().startsWith(BASE + "/") && !r.url().startsWith("data:")) wrong.push(`it asks ${r.url()}`); });
  const answer = await page.goto(BASE + "/", { waitUntil: "load" });
  assert.equal(answer.status(), 200);
  return { page, context, answer, wrong };
}

const arrow = (page, from, to) => page.locator(`path.arrow[data-from="${from}"][data-to="${to}"]`);
const stateOf = async (page, from, to) => (await arrow(page, from, to).getAttribute("class")).split(" ").pop();
const shot = async (page, name) => { if (SHOTS) await page.screenshot({ path: join(SHOTS, name + ".png"), fullPage: true }); };
const known = (v) => v === null ? "unknown" : String(v);
const digits = (text) => text.replace(/\D/g, "");

// contrast is that of an element's text against what is behind it.
const contrast = (page, selector) => page.evaluate((selector) => {
  const numbers = (c) => c.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const f = (v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
  };
  const e = document.querySelector(selector);
  let behind = e;
  while (numbers(getComputedStyle(behind).backgroundColor)[3] === 0 && behind.parentElement) behind = behind.parentElement;
  const a = light(numbers(getComputedStyle(e).color)), b = light(numbers(getComputedStyle(behind).backgroundColor));
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}, selector);

try {
  step("what it says, and where each number comes from");
  const { page, context, answer, wrong } = await open({ colorScheme: "light" });
  const csp = answer.headers()["content-security-policy"];
  assert.match(csp, /script-src 'self'/);
  assert.doesNotMatch(csp, /unsafe|https?:|\*/);
  await page.locator("#live", { hasText: "live" }).waitFor({ timeout: wait });
  assert.notEqual((await page.locator("#verdict").innerText()).trim(), "");
  const modules = (await api("/v1/mesh")).views.map((v) => v.module).sort();
  assert.equal(modules.length, 3);
  const pairs = await page.locator("path.arrow").evaluateAll((l) => l.map((e) => `${e.dataset.from} ${e.dataset.to}`));
  const expected = modules.flatMap((a) => modules.filter((b) => b !== a).map((b) => `${a} ${b}`));
  assert.deepEqual(pairs.toSorted(), expected.toSorted(), "an arrow for each direction of each link");
  await eventually(async () => {
    const rows = await page.locator("#matrix tbody tr").evaluateAll((l) => l.map((tr) => [...tr.children].map((c) => c.firstChild.textContent.trim())));
    const matrix = await api("/v1/matrix");
    assert.equal(rows.length, matrix.length);
    for (const r of matrix) {
      const row = rows.find((x) => x[0] === r.stream);
      assert.ok(row, `a row for ${r.stream}`);
      assert.equal(row[1], known(r.written), r.stream);
      assert.equal(r.cells.length, modules.length, `${r.stream} goes to all`);
      modules.forEach((m, i) => {
        const cell = r.cells.find((c) => c.module === m);
        assert.equal(row[2 + i], cell ? known(cell.applied) : "-", `${r.stream} at ${m}`);
      });
    }
    const self = (await api("/v1/mesh")).views.find((v) => v.module === east).status;
    const inbox = await page.locator(".inboxes li").allInnerTexts();
    assert.equal(digits(inbox.find((t) => t.includes("open conflicts"))), String(self.open_conflicts));
    assert.equal(self.open_conflicts, 1, "the test made one");
    const conflicts = await api("/v1/conflicts");
    assert.equal(await page.locator("#conflicts tbody tr").count(), conflicts.length);
    assert.ok((await page.locator("#conflicts tbody").innerText()).includes(conflicts[0].loser));
    const views = (await api("/v1/mesh")).views;
    const sum = (field) => views.reduce((n, v) => n + v.status[field], 0);
    for (const [word, n] of [["withheld claims", self.withheld], ["parked", sum("parked")], ["lost transactions", sum("lost_transactions")], ["alarms", views.reduce((n, v) => n + v.status.alarms.length, 0)]]) {
      assert.equal(digits(inbox.find((t) => t.includes(word))), String(n), word);
    }
    const cells = (id) => page.locator(`${id} tbody tr`).evaluateAll((l) => l.map((tr) => [...tr.children].map((c) => c.textContent.trim())));
    for (const row of await cells("#modules")) {
      const v = views.find((v) => v.module === row[0]).status;
      assert.deepEqual(row.slice(1, 4), [v.state, v.leader, String(v.policy_epoch)], row[0]);
    }
    const steps = await cells("#steps");
    assert.equal(steps.length, matrix.reduce((n, r) => n + r.cells.length, 0));
    for (const r of matrix) {
      for (const c of r.cells) {
        const row = steps.find((x) => x[0] === r.stream && x[1] === c.module);
        assert.deepEqual(row?.slice(2, 8), [r.written, c.sent, c.received, c.applied, c.acknowledged, c.lag_records].map(known), `${r.stream} at ${c.module}`);
      }
    }
    // Each line of links is what its receiver says.
    for (const [from, to, state, , clock, , txns] of await cells("#d-links table")) {
      const links = views.find((v) => v.module === to).links;
      const link = links.find((l) => l.peer === from);
      const off = link.clock_offset_ms;
      assert.deepEqual([state, txns], [link.state, String(link.received_txns)], `${from} to ${to}`);
      assert.ok(off == null ? clock === "unknown" : /^[+-]\d+\.\d ms$/.test(clock) && Math.abs(parseFloat(clock) - off) < 0.051, `the clock of ${from} at ${to}: ${clock}, ${off}`);
    }
    const groups = await api("/v1/groups");
    const owned = groups.filter((g) => g.mode === "owned");
    assert.equal(owned.length, 1);
    const [group] = await cells("#groups");
    assert.deepEqual([group[0], group[1], group[2], group[4]], [owned[0].group, owned[0].owner, String(owned[0].epoch), String(owned[0].number ?? 0)]);
  });
  await shot(page, "console");

  step("a cut link shows by itself, in both directions, and so does its end");
  await page.evaluate(() => { window.sameDocument = true; });
  assert.equal(await stateOf(page, east, west), "up");
  drmesh("link", "pause", east, west);
  await page.locator(`path.arrow.paused[data-from="${east}"][data-to="${west}"]`).waitFor({ state: "attached", timeout: wait });
  await page.locator(`path.arrow.paused[data-from="${west}"][data-to="${east}"]`).waitFor({ state: "attached", timeout: wait });
  assert.equal(await stateOf(page, east, "%north#m1"), "up", "the others are not touched");
  await page.locator("#verdict.watch", { hasText: "is paused" }).waitFor({ timeout: wait });
  await shot(page, "console-cut");
  drmesh("link", "resume", east, west);
  await page.locator(`path.arrow.up[data-from="${east}"][data-to="${west}"]`).waitFor({ state: "attached", timeout: wait });
  await page.locator("#verdict:not(.watch)").or(page.locator("#verdict.watch", { hasNotText: "is paused" })).first().waitFor({ timeout: wait });
  assert.equal(await page.evaluate(() => window.sameDocument), true, "it was not loaded again");

  step("by keyboard");
  await page.evaluate(() => { document.activeElement?.blur(); window.scrollTo(0, 0); });
  await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.activeElement.classList.contains("skip")), "the first stop is the way to the content");
  const box = await page.locator(".skip").boundingBox();
  assert.ok(box.x >= 0 && box.y >= 0, "it can be seen");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "content");
  const stops = await page.evaluate(() => [...document.querySelectorAll("a[href], summary, input, button, [tabindex='0']")].filter((e) => e.checkVisibility()).length);
  const seen = new Set();
  await page.locator(".skip").focus();
  for (let i = 0; i < stops + 2; i++) {
    const at = await page.evaluate(() => {
      const e = document.activeElement;
      const s = getComputedStyle(e);
      return { name: e.tagName + " " + (e.getAttribute("aria-label") || e.textContent.trim().slice(0, 40)), body: e === document.body, outline: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 || e.classList.contains("skip") };
    });
    if (!at.body) {
      assert.ok(at.outline, `where the focus is shows: ${at.name}`);
      seen.add(at.name);
    }
    await page.keyboard.press("Tab");
  }
  assert.ok(seen.size >= stops, `${seen.size} of ${stops} stops were reached: ${[...seen].join(", ")}`);
  await page.locator("#d-links > summary").focus();
  await page.keyboard.press("Enter");
  assert.ok(await page.locator("#d-links[open] table").isVisible());
  drmesh("link", "pause", east, west);
  await page.locator(`path.arrow.paused[data-from="${east}"][data-to="${west}"]`).waitFor({ state: "attached", timeout: wait });
  assert.ok(await page.locator("#d-links[open]").count(), "what was opened stays open");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "SUMMARY", "the focus stays");
  drmesh("link", "resume", east, west);
  await page.locator(`path.arrow.up[data-from="${east}"][data-to="${west}"]`).waitFor({ state: "attached", timeout: wait });
  for (const e of ["#verdict", ".asof", "td", ".who", "footer a"]) assert.ok(await contrast(page, e) >= 4.5, `contrast of ${e}, light`);

  step("on a telephone");
  await page.setViewportSize({ width: 360, height: 740 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 360, "nothing is wider than the screen");
  assert.ok(await page.locator("#verdict").isVisible() && await page.locator("svg.map").isVisible());
  await shot(page, "console-360");
  assert.deepEqual(wrong, []);
  await context.close();

  step("in the dark");
  const dark = await open({ colorScheme: "dark" });
  for (const e of ["#verdict", ".asof", "td", ".who", "footer a"]) assert.ok(await contrast(dark.page, e) >= 4.5, `contrast of ${e}, dark`);
  await shot(dark.page, "console-dark");
  assert.deepEqual(dark.wrong, []);
  await dark.context.close();

  step("without scripts");
  const plain = await open({ javaScriptEnabled: false });
  assert.equal(await plain.page.locator("path.arrow").count(), 6);
  assert.equal(await plain.page.locator("#matrix tbody tr").count(), (await api("/v1/matrix")).length);
  assert.deepEqual(plain.wrong, []);
  await plain.context.close();
} catch (e) {
  console.error(e.stack || e);
  process.exitCode = 1;
} finally {
  await browser.close();
}
