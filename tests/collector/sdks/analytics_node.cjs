// node analytics_node.cjs URL WRITE_KEY : the Node SDK before @segment/analytics-node.
const Analytics = require('analytics-node')

async function main([host, writeKey]) {
  const client = new Analytics(writeKey, { host, errorHandler: (error) => { throw error } })
  client.identify({ userId: 17, traits: { plan: 'pro' } })
  client.track({ userId: 17, event: 'Order Completed', properties: { price: 12.5, big: 9007199254740991 } })
  client.page({ userId: 17, category: 'Docs', name: 'Start' })
  client.group({ userId: 17, groupId: 23, traits: { size: 3 } })
  client.alias({ previousId: 'a1', userId: 17 })
  await client.flush()
}

main(process.argv.slice(2))
