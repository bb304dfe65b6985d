// Opens the demo's page in a headless browser, as a person would, and looks: figures, their movement, their lines, both
// colour schemes, a phone's width, what a screen reader is told, the keyboard, no script, and no request to anywhere
// else. Arguments: the page's address, what to look at, and a folder for pictures if they are to be kept.
import assert from 'node:assert/strict';
import { createServer, get } from 'node:http';
import { createRequire } from 'node:module';

const [url, look, pictures] = process.argv.slice(2);
const peers = process.env.PEERS;
const { chromium } = createRequire(`${peers}/`)('playwright-core');
const browser = await chromium.launch({
  executablePath: `${peers}/bin/chromium`,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});

async function open(options, address = url) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('request', (request) => request.url().startsWith(url) || problems.push(`asked ${request.url()}`));
  const answer = await page.goto(address);
  if (options.javaScriptEnabled !== false) await page.waitForSelector('body[data-ready="true"]');
  return { page, problems, answer };
}

const text = (page, figure) => page.textContent(`[data-figure="${figure}"]`);
const number = (text) => Number(text.replace(/[^\d.]/g, ''));
const picture = (page, name) => pictures && page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
async function fits(page) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(over <= 0, `${over} px wider than the window`);
}

async function desk() {
  const { page, problems, answer } = await open({ viewport: { width: 1200, height: 900 }, colorScheme: 'light' });
  assert.match(answer.headers()['content-security-policy'], /^default-src 'none'; style-src 'sha256-/);
  assert.ok(number(await text(page, 'store.skus')) > 1000, await text(page, 'store.skus'));
  assert.match(await text(page, 'runtime.num_gc'), /not known/);
  const before = number(await text(page, 'staging.completed_today'));
  const time = await page.innerText('#as-of');
  assert.match(await page.innerText('header p'), /^demo · linkit-bridge [\d.]+ · up \d/);
  await page.click('summary');
  await page.focus('footer a');
  await page.waitForFunction(
    (before) => Number(document.querySelector('[data-figure="staging.completed_today"]').textContent.replace(/\D/g, ''))
      > before,
    before,
  );
  assert.notEqual(await page.innerText('#as-of'), time);
  // What a reader has opened and where the keyboard is outlives the reading.
  assert.ok(await page.evaluate(() => document.querySelector('details').open && document.activeElement.matches('footer a')));
  assert.match(await page.innerText('details'), /linkit\.bridge\.build_info/);
  const lines = await page.$$eval('.lately .line', (lines) => lines.filter((line) => line.getAttribute('d')).length);
  assert.equal(lines, await page.$$eval('[data-raw]', (figures) => figures.length));
  const waits = /^[1-9][\d,]*\s+oldest \d/;
  await page.waitForFunction((waits) => new RegExp(waits).test(
    document.querySelector('#endpoints td:nth-child(3)')?.innerText.replaceAll('\u00a0', ' ')), waits.source);
  assert.match(await page.innerText('#push'), /default\s+(waiting|behind)\s+no success yet/);
  await fits(page);
  // The sources may have failed for a moment on a busy machine, but not for long; push has nobody to send to.
  await page.waitForFunction(() => /^(All is well|Push behind: default)$/.test(document.querySelector('#state-title').textContent));
  await page.click('summary');
  await picture(page, 'light');
  await page.emulateMedia({ colorScheme: 'dark' });
  await picture(page, 'dark');
  assert.deepEqual(problems, []);
}

async function phone() {
  const { page, problems } = await open({ viewport: { width: 320, height: 640 }, colorScheme: 'dark' });
  const [red, green, blue] = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g));
  assert.ok(Math.max(red, green, blue) < 64, 'the dark page is not dark');
  await fits(page);
  await page.click('summary');
  await fits(page);
  await page.click('summary');
  await picture(page, 'phone-dark');
  await page.emulateMedia({ colorScheme: 'light' });
  const moves = await page.$$eval('*', (all) => all.filter((one) => {
    const { transitionDuration, animationName } = getComputedStyle(one);
    return parseFloat(transitionDuration) > 0 || animationName !== 'none';
  }).length);
  assert.equal(moves, 0, 'something moves, which not all can bear');
  await picture(page, 'phone');
  assert.deepEqual(problems, []);
}

async function reader() {
  const { page, problems } = await open({ viewport: { width: 1200, height: 900 } });
  const tree = await page.locator('body').ariaSnapshot();
  for (const part of [/^- banner:/m, /^- main:/m, /^- contentinfo:/m, /navigation "Further pages"/,
    /heading "[^"]+" \[level=1\]/, /region "All is well|region "[^"]+":\n\s+- status:/, /heading "Runtime" \[level=2\]/,
    /heading "Collectors" \[level=2\]/, /table "What reads each source[^"]*"/, /columnheader "Errors"/,
    /rowheader "runtime \w+"/, /img "last minute: /, /link "Readiness"/]) {
    assert.match(tree, part, `${part} is not in\n${tree}`);
  }
  assert.doesNotMatch(tree, /^\s*- (definition|paragraph|cell)$/m, 'something is read that says nothing');
  // What has not changed is not said again.
  await page.evaluate(() => {
    window.said = 0;
    const count = () => { window.said += 1; };
    new MutationObserver(count).observe(document.querySelector('[role="status"]'),
      { subtree: true, childList: true, characterData: true });
  });
  const title = await page.innerText('#state-title'), time = await page.innerText('#as-of');
  await page.waitForFunction((time) => document.querySelector('#as-of').textContent !== time, time);
  if (await page.innerText('#state-title') === title) assert.equal(await page.evaluate(() => window.said), 0);
  for (const target of ['summary', 'footer a', 'footer a', 'footer a']) {
    await page.keyboard.press('Tab');
    const outline = await page.evaluate((target) => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      return document.activeElement.matches(target) && outlineStyle === 'solid' && parseFloat(outlineWidth) >= 2;
    }, target);
    assert.ok(outline, `the focus on ${target} cannot be seen`);
  }
  // Words must be readable: 4.5 to 1 at least, in both schemes.
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    const faint = await page.evaluate(() => {
      const channels = (text) => text.match(/[\d.]+/g).map(Number);
      const light = (rgb) => rgb.slice(0, 3).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
      const ground = (element) => {
        const rgba = channels(getComputedStyle(element).backgroundColor);
        return rgba.length > 3 && rgba[3] === 0 ? ground(element.parentElement) : rgba;
      };
      const faint = [];
      for (const element of document.querySelectorAll('.page *')) {
        if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
        if (element.closest('noscript, svg')) continue;
        const [a, b] = [light(channels(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < 4.5) faint.push(`${element.outerHTML.slice(0, 80)}: ${contrast.toFixed(2)}`);
      }
      return faint;
    });
    assert.deepEqual(faint, [], colorScheme);
  }
  assert.deepEqual(problems, []);
}

async function still() {
  const { page, problems } = await open({ viewport: { width: 1200, height: 900 }, javaScriptEnabled: false });
  assert.ok(number(await text(page, 'store.skus')) > 1000);
  assert.match(await text(page, 'runtime.num_gc'), /not known/);
  assert.ok(await page.isVisible('a:text("read again")'));
  assert.match(await page.innerText('.state'), /^\S.*\s+\S.*\s+As of \d\d:\d\d:\d\d UTC · read again$/);
  await picture(page, 'no-script');
  await page.click('a:text("read again")');
  assert.ok(number(await text(page, 'store.skus')) > 1000);
  // The browser may complain that it was not let run a script; nothing else.
  assert.deepEqual(problems, []);
}

// A source that has stopped, and then the bridge itself.
async function trouble() {
  const { page } = await open({ viewport: { width: 1200, height: 900 }, colorScheme: 'light' });
  await page.waitForSelector('body[data-level="warn"] #collector-store [data-level="warn"]');
  assert.match(await page.innerText('#state-title'), /^(Runtime, s|S)tore.* (down|stale)/);
  assert.match(await page.innerText('#state-detail'), /Last error: \w+/);
  assert.match(await page.title(), /^▲ /);
  await picture(page, 'stopped');
  console.log('seen');
  await page.waitForSelector('body.lost[data-level="bad"]');
  assert.equal(await page.innerText('#state-title'), 'The bridge cannot be reached');
  assert.match(await page.title(), /^■ [^▲■]/);
  assert.ok(number(await text(page, 'store.skus')) > 0);
  await picture(page, 'lost');
}

// Under a path of a proxy that asks for a name and a password, and while nobody looks.
async function behind() {
  let isOpen = true, reads = 0;
  const proxy = createServer((request, response) => {
    const credentials = `Basic ${Buffer.from('ops:secret').toString('base64')}`;
    if (!isOpen) return response.writeHead(403).end();
    if (request.headers.authorization !== credentials) {
      return response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="shop"' }).end();
    }
    if (request.url === '/shop/') reads += 1;
    get(url + request.url.replace(/^\/shop/, ''), (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
  });
  await new Promise((listening) => proxy.listen(0, '127.0.0.1', listening));
  const { port } = proxy.address(), page = await browser.newPage();
  await page.clock.install();
  await page.goto(`http://ops:secret@127.0.0.1:${port}/shop/`);
  await page.waitForSelector('body[data-ready="true"]');
  const links = await page.$$eval('footer a', (links) => links.map((link) => new URL(link.href).pathname));
  assert.deepEqual(links, ['/shop/metrics', '/shop/api/v1/telemetry', '/shop/api/v1/health', '/shop/-/ready']);
  const readsAfter = async (act) => {
    const before = reads, answered = page.waitForResponse(`http://127.0.0.1:${port}/shop/`);
    await act();
    await answered;
    assert.equal(reads, before + 1);
  };
  await readsAfter(() => page.clock.fastForward(5100));
  await page.waitForFunction(() => document.querySelector('#as-of') && !document.body.classList.contains('lost'));
  const look = (isHidden) => page.evaluate((isHidden) => {
    Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, isHidden);
  await look(true);
  const before = reads;
  await page.clock.runFor(60000);
  assert.equal(reads, before, 'it read while nobody looked');
  await readsAfter(() => look(false));
  isOpen = false;
  await page.clock.fastForward(5100);
  await page.waitForSelector('body.lost');
  assert.equal(await page.innerText('#state-detail'),
    'It answered 403: reload to sign in. Its last figures are shown.');
  proxy.closeAllConnections();
  proxy.close();
}

const looks = { desk, phone, reader, still, behind, trouble };
await looks[look]();
await browser.close();
