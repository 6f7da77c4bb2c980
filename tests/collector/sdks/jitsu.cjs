// node jitsu.cjs URL WRITE_KEY : in a server, so over /api/s/s2s.
const { jitsuAnalytics } = require('@jitsu/js')

async function main([host, writeKey]) {
  const analytics = jitsuAnalytics({ host, writeKey: `${writeKey}:secret`, s2s: true })
  await analytics.identify('u1', { plan: 'pro' })
  await analytics.track('Order Completed', { price: 12.5 })
  await analytics.page({ name: 'Start' })
}

main(process.argv.slice(2))
