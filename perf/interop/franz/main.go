// A load by franz-go, so that nobody has to trust our own generator.
//
//	franz produce|consume BROKER TOPIC SECONDS RECORD_BYTES
//
// Writes, or reads from the start, as fast as the client can, and prints one JSON line. Consuming
// is by assignment, without a group, and starts over at the end of the log.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type report struct {
	Records int64   `json:"records"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Errors  int64   `json:"errors"`
}

func main() {
	if len(os.Args) != 6 {
		fail("franz produce|consume BROKER TOPIC SECONDS RECORD_BYTES")
	}
	seconds, err := strconv.ParseFloat(os.Args[4], 64)
	check(err)
	size, err := strconv.Atoi(os.Args[5])
	check(err)
	broker, topic := os.Args[2], os.Args[3]
	lasting := time.Duration(seconds * float64(time.Second))
	var result report
	switch os.Args[1] {
	case "produce":
		result = produce(broker, topic, lasting, size)
	case "consume":
		result = consume(broker, topic, lasting)
	default:
		fail("no such load: " + os.Args[1])
	}
	line, err := json.Marshal(result)
	check(err)
	fmt.Println(string(line))
}

// produce keeps the client's buffer full; acks of all replicas, idempotent, as its defaults are.
func produce(broker, topic string, lasting time.Duration, size int) report {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(broker),
		kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedRecords(50_000),
		kgo.RecordDeliveryTimeout(30*time.Second),
	)
	check(err)
	defer client.Close()
	value := make([]byte, size)
	for index := range value {
		value[index] = byte(index * 7)
	}
	var done, errors atomic.Int64
	started := time.Now()
	for time.Since(started) < lasting {
		// The look at the clock is shared by many records.
		for range 256 {
			client.Produce(context.Background(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					errors.Add(1)
					return
				}
				done.Add(1)
			})
		}
	}
	limit, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	check(client.Flush(limit))
	elapsed := time.Since(started).Seconds()
	records := done.Load()
	return report{records, records * int64(size), elapsed, errors.Load()}
}

// consume reads everything from the start, over and over, until its time is up.
func consume(broker, topic string, lasting time.Duration) report {
	var result report
	started := time.Now()
	for time.Since(started) < lasting {
		if pass(broker, topic, started.Add(lasting), &result) == 0 {
			fail("nothing to read")
		}
	}
	result.Seconds = time.Since(started).Seconds()
	return result
}

func pass(broker, topic string, until time.Time, result *report) int64 {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(broker),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(500*time.Millisecond),
	)
	check(err)
	defer client.Close()
	var read int64
	for time.Now().Before(until) {
		limit, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		fetches := client.PollFetches(limit)
		ended := limit.Err() != nil
		cancel()
		if ended && fetches.NumRecords() == 0 {
			break
		}
		fetches.EachError(func(_ string, _ int32, err error) {
			if err != context.DeadlineExceeded {
				result.Errors++
			}
		})
		fetches.EachRecord(func(record *kgo.Record) {
			read++
			result.Bytes += int64(len(record.Value))
		})
	}
	result.Records += read
	return read
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(words string) {
	fmt.Fprintln(os.Stderr, words)
	os.Exit(1)
}
