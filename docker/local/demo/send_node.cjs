// Sends events of a few visitors through the unmodified @segment/analytics-node.
// Usage: node send_node.cjs HOST WRITE_KEY RUN VISITORS; prints how many events the SDK delivered.
const { Analytics } = require("@segment/analytics-node");

const [host, writeKey, run, visitors] = process.argv.slice(2);
const analytics = new Analytics({ writeKey, host, flushAt: 15, flushInterval: 200 });
let delivered = 0;
let failed = 0;
const done = (error) => (error ? (failed += 1) : (delivered += 1));
analytics.on("error", (error) => console.error(error.code, String(error.reason ?? "")));

const context = {
  userAgent:
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
  ip: "81.2.69.160",
  campaign: { source: "newsletter", medium: "email", name: "autumn" },
};

for (let visitor = 0; visitor < Number(visitors); visitor += 1) {
  const anonymousId = `demo-${run}-node-${visitor}`;
  const page = { path: "/", url: "https://shop.example/", title: "Shop", referrer: "https://search.example/" };
  analytics.page({ anonymousId, name: "Home", properties: page, context }, done);
  analytics.track({ anonymousId, event: "Product Viewed", properties: { sku: `S-${visitor}`, price: 9.5 }, context }, done);
  analytics.track({ anonymousId, event: "Order Completed", properties: { total: 19.0 }, context }, done);
  if (visitor % 2 === 0) {
    const userId = `user-${run}-${visitor}`;
    analytics.identify({ anonymousId, userId, traits: { plan: "pro", password: "never stored in identities" }, context }, done);
  }
}

analytics.closeAndFlush({ timeout: 20000 }).then(() => {
  console.log(JSON.stringify({ delivered, failed }));
  process.exit(failed ? 1 : 0);
});
