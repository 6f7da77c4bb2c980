// node segment_node.cjs URL WRITE_KEY : six calls through the unmodified SDK.
const { Analytics } = require('@segment/analytics-node')

async function main([host, writeKey]) {
  const analytics = new Analytics({ writeKey, host, flushAt: 3 })
  analytics.on('error', (error) => { console.error(error); process.exitCode = 1 })
  const timestamp = new Date(process.argv[4])
  analytics.track({ userId: 'u1', event: 'Order Completed', properties: { price: 12.5, big: 9007199254740991 }, timestamp })
  analytics.identify({ userId: 'u1', anonymousId: 'a1', traits: { plan: 'pro' } })
  analytics.page({ anonymousId: 'a1', category: 'Docs', name: 'Start', properties: { url: 'https://example.com/docs' } })
  analytics.screen({ anonymousId: 'a1', name: 'Home' })
  analytics.group({ userId: 'u1', groupId: 'g1', traits: { size: 3 } })
  analytics.alias({ userId: 'u1', previousId: 'a1' })
  await analytics.closeAndFlush()
}

main(process.argv.slice(2))
