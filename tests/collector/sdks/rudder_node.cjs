// node rudder_node.cjs URL WRITE_KEY : gzip by default, with a form's content type.
const RudderAnalytics = require('@rudderstack/rudder-sdk-node')

function main([host, writeKey]) {
  const Client = RudderAnalytics.default ?? RudderAnalytics
  const client = new Client(writeKey, { dataPlaneUrl: host, flushAt: 20 })
  client.track({ userId: 'u1', event: 'Order Completed', properties: { price: 12.5 }, context: { sessionId: 1795000000000 } })
  client.identify({ userId: 'u1', traits: { plan: 'pro' } })
  client.page({ userId: 'u1', name: 'Start' })
  client.flush((error) => { if (error) { console.error(error); process.exit(1) } process.exit(0) })
}

main(process.argv.slice(2))
