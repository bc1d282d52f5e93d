// kafkajs for `cargo x interop`; `lines.py` tells the protocol.
//
// It reads by group only: consuming by offset and by time is a group of its own, seeked.
'use strict'

const readline = require('node:readline')
const { createRequire } = require('node:module')
// The packages are in the driver's cache, not beside this file.
const need = createRequire(process.env.CLIENT_PACKAGES + '/')
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = need('kafkajs')
const lz4 = need('lz4js')
const xxhash = need('lz4js/xxh32')
const zstd = need('@bokuweb/zstd-wasm')

CompressionCodecs[CompressionTypes.Snappy] = need('kafkajs-snappy')
// Kafka takes independent blocks only. A frame of one block is that, but this package does not say
// so: the flag is set, and the header's checksum made again.
function independent(frame) {
  if (frame.length >= 4 << 20) throw new Error('more than one block')
  frame[4] |= 0x20
  frame[6] = xxhash.hash(0, frame, 4, 2) >> 8
  return frame
}
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async encoder => independent(Buffer.from(lz4.compress(encoder.buffer))),
  decompress: async buffer => Buffer.from(lz4.decompress(buffer)),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async encoder => Buffer.from(zstd.compress(encoder.buffer, 3)),
  decompress: async buffer => Buffer.from(zstd.decompress(buffer)),
})
const CODECS = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }

const [command, bootstrap, topic, words] = process.argv.slice(2)
const options = JSON.parse(words)
const kafka = new Kafka({
  brokers: [bootstrap],
  logLevel: logLevel.ERROR,
  logCreator: () => entry => console.error(entry.label, entry.log.message, entry.log.error || ''),
  retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: 60 },
})

const tell = line => process.stdout.write(JSON.stringify(line) + '\n')
const unhex = text => (text === null ? null : Buffer.from(text, 'hex'))
const hex = data => (data === null || data === undefined ? null : Buffer.from(data).toString('hex'))
const input = () => readline.createInterface({ input: process.stdin, crlfDelay: Infinity })

// The client takes headers as an object; a name that comes twice has a list.
function headersOf(pairs) {
  const headers = {}
  for (const [name, text] of pairs) {
    const value = unhex(text)
    headers[name] = name in headers ? [].concat(headers[name], [value]) : value
  }
  return headers
}

function tellRecord(partition, message) {
  const headers = Object.entries(message.headers || {}).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map(one => [name, hex(one)])
  )
  tell({
    partition,
    offset: Number(message.offset),
    timestamp: Number(message.timestamp),
    key: hex(message.key),
    value: hex(message.value),
    headers,
  })
}

async function create() {
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({
    topics: [{ topic, numPartitions: options.partitions, replicationFactor: 1 }],
    // Its own wait gives up at a topic that the broker has not heard of yet; the others ask again.
    waitForLeaders: false,
  })
  await admin.disconnect()
}

async function produce() {
  const producer = kafka.producer({ idempotent: options.idempotent })
  await producer.connect()
  let batch = []
  for await (const line of input()) {
    if (line.trim()) {
      const one = JSON.parse(line)
      batch.push({
        partition: one.partition,
        key: unhex(one.key),
        value: unhex(one.value),
        headers: headersOf(one.headers),
        timestamp: String(one.timestamp),
      })
      continue
    }
    const compression = CODECS[options.codec]
    const answers = await producer.send({ topic, acks: -1, compression, messages: batch })
    // One answer for each partition: its first record's offset.
    const next = {}
    for (const answer of answers) next[answer.partition] = Number(answer.baseOffset)
    tell({ offsets: batch.map(one => next[one.partition]++) })
    batch = []
  }
  await producer.disconnect()
}

async function consume() {
  const admin = kafka.admin()
  await admin.connect()
  let round = 0
  for await (const line of input()) {
    const places = JSON.parse(line)
    const groupId = `${topic}-reader-${process.pid}-${round++}`
    const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 500 })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    const left = new Map()
    const starts = new Map()
    for (const place of places) {
      let offset = place.offset
      if (offset === undefined) {
        const found = await admin.fetchTopicOffsetsByTimestamp(topic, place.time)
        offset = Number(found.find(one => one.partition === place.partition).offset)
      }
      starts.set(place.partition, offset)
      if (offset < place.end) left.set(place.partition, place.end)
    }
    await new Promise((resolve, reject) => {
      consumer.on(consumer.events.CRASH, event => reject(event.payload.error))
      const eachBatch = async ({ batch, isStale, resolveOffset }) => {
        if (isStale()) return
        for (const message of batch.messages) {
          const offset = Number(message.offset)
          if (offset < starts.get(batch.partition)) continue
          tellRecord(batch.partition, message)
          resolveOffset(message.offset)
          if (offset + 1 >= left.get(batch.partition)) left.delete(batch.partition)
        }
        if (left.size === 0) resolve()
      }
      consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch }).catch(reject)
      for (const [partition, offset] of starts) {
        consumer.seek({ topic, partition, offset: String(offset) })
      }
    })
    await consumer.disconnect()
    tell({ end: true })
  }
  await admin.disconnect()
}

async function member() {
  const consumer = kafka.consumer({
    groupId: options.group,
    sessionTimeout: options.session,
    heartbeatInterval: 500,
    maxWaitTimeInMs: 200,
    metadataMaxAge: 5000,
    // Its retries are nested: with many it clings to a node that is gone, instead of starting over.
    retry: { initialRetryTime: 100, maxRetryTime: 500, retries: 4, restartOnFailure: async () => true },
  })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) =>
    tell({ assigned: (payload.memberAssignment[topic] || []).sort() })
  )
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, isStale, resolveOffset }) => {
      if (isStale()) return
      for (const message of batch.messages) {
        tellRecord(batch.partition, message)
        resolveOffset(message.offset)
      }
      const offset = String(Number(batch.lastOffset()) + 1)
      await consumer.commitOffsets([{ topic, partition: batch.partition, offset }])
    },
  })
  await new Promise(resolve => process.stdin.on('end', resolve).resume())
  await consumer.disconnect()
  // A consumer that once restarted itself leaves a timer behind, which would hold the process.
  process.exit(0)
}

zstd
  .init()
  .then({ create, produce, consume, member }[command])
  .catch(error => {
    console.error(error)
    process.exit(1)
  })
