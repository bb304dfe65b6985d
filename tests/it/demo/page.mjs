// Opens the demo's page in a headless browser, as a person would, and looks: figures, their movement, charts, both
// colour schemes, a phone's width, and no request to anywhere else. With a folder as second argument it keeps pictures.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const [url, pictures] = process.argv.slice(2);
const peers = process.env.PEERS;
const { chromium } = createRequire(`${peers}/`)('playwright-core');
const browser = await chromium.launch({
  executablePath: `${peers}/bin/chromium`,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});

async function open(options) {
  const page = await browser.newPage(options);
  const problems = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('request', (request) => request.url().startsWith(url) || problems.push(`asked ${request.url()}`));
  await page.goto(url);
  await page.waitForSelector('body[data-ready="true"]');
  return { page, problems };
}

const text = (page, figure) => page.textContent(`[data-figure="${figure}"]`);
const number = (text) => Number(text.replace(/[^\d.]/g, ''));

const { page, problems } = await open({ viewport: { width: 1200, height: 900 } });
assert.ok(number(await text(page, 'store.skus')) > 1000, await text(page, 'store.skus'));
assert.match(await text(page, 'runtime.num_gc'), /not known/i);
const before = number(await text(page, 'staging.completed_today'));
await page.waitForFunction(
  (before) => Number(document.querySelector('[data-figure="staging.completed_today"]').textContent.replace(/\D/g, ''))
    > before,
  before,
);
await page.waitForSelector('svg path, svg polyline');
await page.waitForFunction(() => /^[1-9][0-9]*, ([0-9.]+.[kMG]i?B, )?for /.test(document.querySelector('#endpoints td:nth-child(3)')?.textContent));
assert.match(await page.innerText('#push'), /default\s+up to date/);
if (pictures) await page.screenshot({ path: `${pictures}/page.png`, fullPage: true });
assert.deepEqual(problems, []);

const phone = await open({ viewport: { width: 320, height: 640 }, colorScheme: 'dark' });
const overflow = await phone.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
assert.ok(overflow <= 0, `${overflow} px wider than a phone`);
if (pictures) await phone.page.screenshot({ path: `${pictures}/phone.png`, fullPage: true });
assert.deepEqual(phone.problems, []);
await browser.close();
