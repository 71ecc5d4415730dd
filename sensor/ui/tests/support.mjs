// What the browser tests share: one Chromium, pages that note what goes wrong on them, axe.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

export const servers = JSON.parse(process.env.FALCONET_UI_SERVERS ?? "{}");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser;

export async function start() {
  // Each launch has a fresh profile of its own.
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

export async function stop() {
  await browser?.close();
}

export const WIDE = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };

/** Opens `path` of a server in a page of its own, logged in; `finish` fails when anything went wrong on it. */
export async function open(server, path, { size = WIDE, theme = "light", login = true } = {}) {
  const context = await browser.newContext({ viewport: size, colorScheme: theme });
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // What the tests provoke themselves: a refused login, a query that is not understood.
    if (message.type() === "error" && !/status of (400|401|429)/.test(message.text())) wrong.push(message.text());
  });
  page.on("requestfailed", (request) => {
    // Requests that a newer one makes needless are aborted.
    if (request.failure()?.errorText !== "net::ERR_ABORTED") wrong.push(`${request.url()}: ${request.failure()?.errorText}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(servers[server]) && !request.url().startsWith("data:")) {
      wrong.push(`foreign request: ${request.url()}`);
    }
  });
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      globalThis.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
    });
  });
  if (login) {
    const answer = await page.request.post(`${servers[server]}/api/v1/session`, {
      data: { user: "admin", password: servers.password },
    });
    assert.equal(answer.status(), 200);
  }
  await page.goto(servers[server] + path);
  const finish = async () => {
    wrong.push(...(await page.evaluate(() => globalThis.violations)));
    await context.close();
    assert.deepEqual(wrong, []);
  };
  return { page, finish };
}

/** Fails with what axe finds wrong on the page as it is. */
export async function accessible(page, name) {
  await page.evaluate(axe);
  const found = await page.evaluate(() =>
    globalThis.axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }),
  );
  const findings = found.violations.map(
    (v) => `${v.id} (${v.impact}): ${v.help}\n      ${v.nodes.slice(0, 3).map((n) => `${n.html.slice(0, 160)}  ${n.failureSummary?.split("\n").slice(1, 3).join(" ")}`).join("\n      ")}`,
  );
  assert.deepEqual(findings, [], `${name}: what axe found`);
}

/** Nothing stands out to the right of the page. */
export async function fits(page, name) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${name} is ${over} px wider than the window`);
}

/** Waits until the page stands still: fonts are there, what moves has moved, and what was asked for is painted. */
export const settled = (page) =>
  page.evaluate(async () => {
    await document.fonts.ready;
    const frame = () => new Promise((done) => requestAnimationFrame(() => done()));
    const ends = (a) => a.effect?.getComputedTiming().endTime !== Infinity;
    do {
      await Promise.allSettled(document.getAnimations().filter(ends).map((a) => a.finished));
      await frame();
      await frame();
    } while (document.getAnimations().some((a) => ends(a) && a.playState === "running"));
  });
