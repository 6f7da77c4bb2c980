// RudderStack's and Jitsu's SDKs, unmodified. Usage: node send_others.cjs URL WRITE_KEY
const RudderAnalytics = require("@rudderstack/rudder-sdk-node").default ?? require("@rudderstack/rudder-sdk-node");
const { jitsuAnalytics } = require("@jitsu/js");

const [url, writeKey] = process.argv.slice(2);

async function main() {
  const rudder = new RudderAnalytics(writeKey, { dataPlaneUrl: url, flushAt: 2 });
  const ids = { anonymousId: "rudder-visitor", userId: "rudder-user" };
  rudder.identify({ ...ids, traits: { plan: "pro" } });
  rudder.track({ ...ids, event: "Signed Up", properties: { plan: "pro" } });
  await rudder.flush();

  const jitsu = jitsuAnalytics({ host: url, writeKey: `${writeKey}:secret` });
  await jitsu.setAnonymousId?.("jitsu-visitor");
  await jitsu.page("Home", { url: "https://shop.example/" });
  await jitsu.track("Signed Up", { plan: "pro" });
  await new Promise((resolve) => setTimeout(resolve, 500));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
