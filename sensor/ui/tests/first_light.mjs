// The web app of a whole sensor, while things happen; started by tests/first_light_ui.rs of the workspace.
//
// FALCONET_UI_SERVERS names the web app as `run` and has its password, FALCONET_INTAKE is where Falco would post, and
// SCREENSHOTS is a folder. "watching" on standard output asks for the container; a line of JSON on standard input tells
// what it is.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { PHONE, WIDE, accessible, fits, open, servers, settled, start, stop } from "./support.mjs";

const LIST = "/alerts?q=since%3A1h";
// U+202E turns what follows around, U+200B is not seen.
const HOSTILE = "<img src=x onerror=\"document.title='owned'\">\u202egpj.exe\u200b";
const OWN_RULE = "Foreign sensor speaks";

/** As Falco's `http_output` sends it. */
const foreign = () => {
  const time = new Date().toISOString().replace("Z", "000000Z");
  return {
    hostname: "node-9",
    output: `${time}: Critical A foreign sensor speaks | command=${HOSTILE} user=<NA>`,
    output_fields: { "container.name": HOSTILE, "evt.time": Date.now() * 1e6, "proc.cmdline": HOSTILE, "user.name": null },
    priority: "Critical",
    rule: OWN_RULE,
    source: "syscall",
    tags: ["T1059"],
    time,
  };
};

/** Fails when anything of `HOSTILE` did more than to be read. */
async function isOnlyText(page) {
  const seen = await page.evaluate(() => ({
    title: document.title,
    images: document.querySelectorAll("main img").length,
    invisible: /[\u202e\u200b]/.test(document.body.innerText),
  }));
  assert.deepEqual({ ...seen, title: seen.title === "owned" }, { title: false, images: 0, invisible: false });
}

const shot = (page, name) => page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png` });
const rowsOf = (page, rule) => page.getByRole("row").filter({ hasText: rule });

/** What the analyst sees, from the first login on. */
async function watch(container) {
  const { page, finish } = await open("run", "/", { login: false });
  await page.getByLabel("Password").waitFor();
  await shot(page, "login");
  await page.keyboard.type(servers.password);
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "State of falconet" }).waitFor();
  await shot(page, "before");
  // An alert that came before the live stream would be in the first page of the list.
  const live = page.waitForResponse((response) => response.url().includes("/api/v1/live"));
  await page.keyboard.press("l");
  await page.waitForURL(/\/alerts/);
  await live;
  await page.evaluate(() => (globalThis.sameDocument = true));

  console.log("watching");
  const { name, image } = await container;
  const row = rowsOf(page, "Container spawned").filter({ hasText: name }).first();
  await row.waitFor();
  assert.ok((await row.textContent()).includes(image), `the row names ${image}`);

  // By keyboard alone: down to that row, then open it.
  for (let step = 0; step < 50 && (await row.getAttribute("aria-selected")) !== "true"; step += 1) {
    await page.keyboard.press("j");
  }
  await page.keyboard.press("Enter");
  const panel = page.getByRole("complementary", { name: "Alert" });
  await panel.getByRole("heading", { name: "Container spawned" }).waitFor();
  const section = (title) => panel.locator("section").filter({ has: page.getByRole("heading", { name: title, exact: true }) });
  await section("Where").getByText(image).waitFor();
  await section("Where").getByText(name).first().waitFor();
  await section("Delivered to").getByText("webhook").waitFor();
  await section("Fields").getByText("container.image.repository").waitFor();
  await shot(page, "opened");
  await page.keyboard.press("Escape");

  const answer = await fetch(process.env.FALCONET_INTAKE, {
    method: "POST",
    headers: { "Content-Type": "application/json", "User-Agent": "falcosecurity/falco" },
    body: JSON.stringify(foreign()),
  });
  assert.ok(answer.ok, `the intake answers ${answer.status}`);
  const theirs = rowsOf(page, OWN_RULE);
  await theirs.waitFor();
  assert.ok((await theirs.textContent()).includes("node-9"));
  await isOnlyText(page);
  await theirs.click({ position: { x: 20, y: 12 } });
  await panel.getByRole("heading", { name: OWN_RULE }).waitFor();
  await section("Fields").getByText("<img src=x onerror=").first().waitFor();
  assert.ok((await panel.textContent()).includes("\\u{202e}gpj.exe\\u{200b}"));
  await isOnlyText(page);
  await page.keyboard.press("Escape");

  await page.keyboard.press("o");
  const rules = page.getByRole("region", { name: "Rules" });
  await rules.getByText("Container spawned").waitFor();
  await rules.getByText(OWN_RULE).waitFor();
  await page.getByRole("region", { name: "Images" }).getByText(image).waitFor();
  await isOnlyText(page);
  assert.ok(await page.evaluate(() => globalThis.sameDocument), "all of this without a reload");
  await finish();
}

/** Both themes, both sizes, with what is there by now: pictures for people, checks for the rest. */
async function look() {
  for (const theme of ["dark", "light"]) {
    for (const [size, width] of [[WIDE, "wide"], [PHONE, "phone"]]) {
      const { page, finish } = await open("run", "/", { size, theme });
      const check = async (name) => {
        await settled(page);
        await shot(page, `${name}-${width}-${theme}`);
        await fits(page, name);
        await accessible(page, name);
      };
      await page.getByRole("region", { name: "Images" }).waitFor();
      await check("overview");
      await page.goto(servers.run + LIST);
      await rowsOf(page, "Container spawned").first().waitFor();
      await check("alerts");
      await rowsOf(page, "Container spawned").first().click({ position: { x: 20, y: 12 } });
      await page.getByRole("heading", { name: "Fields" }).waitFor();
      await check("alert");
      await finish();
    }
  }
}

await start();
try {
  const lines = createInterface({ input: process.stdin });
  await watch(new Promise((resolve) => lines.once("line", (line) => resolve(JSON.parse(line)))));
  lines.close();
  await look();
} finally {
  await stop();
}
