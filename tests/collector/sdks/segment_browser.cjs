// node segment_browser.cjs URL WRITE_KEY : analytics.js in as little of a browser as it runs in.
const page = new URL('https://shop.example/start?utm_source=mail&utm_campaign=autumn')
const listeners = { addEventListener() {}, removeEventListener() {}, dispatchEvent: () => true }
const stored = new Map()
const storage = {
  getItem: (key) => stored.get(key) ?? null,
  setItem: (key, value) => stored.set(key, String(value)),
  removeItem: (key) => stored.delete(key),
}
const element = () => ({ setAttribute() {}, appendChild() {}, style: {}, ...listeners })
const document = {
  ...listeners,
  cookie: '',
  readyState: 'complete',
  referrer: 'https://search.example/',
  title: 'Start',
  documentElement: element(),
  head: element(),
  body: element(),
  createElement: element,
  getElementsByTagName: () => [],
  querySelector: () => null,
  querySelectorAll: () => [],
  visibilityState: 'visible',
}
const navigator = { userAgent: 'Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0', language: 'de-AT', onLine: true, sendBeacon: () => true }
const location = { href: page.href, search: page.search, pathname: page.pathname, hostname: page.hostname, host: page.host, hash: '', protocol: page.protocol, origin: page.origin }
// A browser adds the page's origin to every call to another host.
const nodesFetch = fetch
const fetchFromPage = (url, options = {}) => nodesFetch(url, { ...options, headers: { ...options.headers, Origin: page.origin } })
for (const [name, value] of Object.entries({ window: globalThis, document, navigator, location, localStorage: storage, sessionStorage: storage, fetch: fetchFromPage, ...listeners, CustomEvent: class {} })) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
}
const { AnalyticsBrowser } = require('@segment/analytics-next')

async function main([url, writeKey]) {
  const { host } = new URL(url)
  const segment = { apiKey: writeKey, apiHost: `${host}/v1`, protocol: 'http' }
  const [analytics] = await AnalyticsBrowser.load({ writeKey, cdnSettings: { integrations: { 'Segment.io': segment } } })
  await analytics.identify('u1', { plan: 'pro' })
  await analytics.track('Order Completed', { price: 12.5 })
  await analytics.page('Docs', 'Start')
  await new Promise((done) => setTimeout(done, 1500))
  process.exit(0)
}

main(process.argv.slice(2))
