// franz-go for `cargo x interop`; `lines.py` beside this folder tells the protocol.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const patience = 60 * time.Second

type options struct {
	Partitions int32  `json:"partitions"`
	Codec      string `json:"codec"`
	Idempotent bool   `json:"idempotent"`
	Group      string `json:"group"`
	Session    int64  `json:"session"`
}

type record struct {
	Partition int32        `json:"partition"`
	Offset    int64        `json:"offset"`
	Timestamp int64        `json:"timestamp"`
	Key       *string      `json:"key"`
	Value     *string      `json:"value"`
	Headers   [][2]*string `json:"headers"`
}

type place struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Time      *int64 `json:"time"`
	End       int64  `json:"end"`
}

func main() {
	if len(os.Args) != 5 {
		fail("create|produce|consume|member BOOTSTRAP TOPIC OPTIONS")
	}
	broker, topic := os.Args[2], os.Args[3]
	var chosen options
	check(json.Unmarshal([]byte(os.Args[4]), &chosen))
	switch os.Args[1] {
	case "create":
		create(broker, topic, chosen)
	case "produce":
		produce(broker, topic, chosen)
	case "consume":
		consume(broker, topic)
	case "member":
		member(broker, topic, chosen)
	default:
		fail("no such command: " + os.Args[1])
	}
}

func client(broker string, more ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append(more, kgo.SeedBrokers(broker))...)
	check(err)
	return made
}

func create(broker, topic string, chosen options) {
	limit, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	made := client(broker)
	defer made.Close()
	wanted := kmsg.NewCreateTopicsRequestTopic()
	wanted.Topic, wanted.NumPartitions, wanted.ReplicationFactor = topic, chosen.Partitions, 1
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, wanted)
	answer, err := request.RequestWith(limit, made)
	check(err)
	check(kerr.ErrorForCode(answer.Topics[0].ErrorCode))
}

func produce(broker, topic string, chosen options) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	more := []kgo.Opt{
		kgo.ProducerBatchCompression(codecs[chosen.Codec]),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(20 * time.Millisecond),
	}
	if !chosen.Idempotent {
		more = append(more, kgo.DisableIdempotentWrite())
	}
	made := client(broker, more...)
	defer made.Close()
	var batch []*kgo.Record
	for line := range lines() {
		if strings.TrimSpace(line) != "" {
			var one record
			check(json.Unmarshal([]byte(line), &one))
			batch = append(batch, one.toSend(topic))
			continue
		}
		limit, cancel := context.WithTimeout(context.Background(), patience)
		check(made.ProduceSync(limit, batch...).FirstErr())
		cancel()
		offsets := make([]int64, len(batch))
		for index, sent := range batch {
			offsets[index] = sent.Offset
		}
		tell(map[string]any{"offsets": offsets})
		batch = nil
	}
}

func consume(broker, topic string) {
	for line := range lines() {
		var places []place
		check(json.Unmarshal([]byte(line), &places))
		starts, ends := map[int32]kgo.Offset{}, map[int32]int64{}
		for _, one := range places {
			starts[one.Partition] = kgo.NewOffset().At(one.Offset)
			if one.Time != nil {
				starts[one.Partition] = kgo.NewOffset().AfterMilli(*one.Time)
			}
			if one.Time != nil || one.Offset < one.End {
				ends[one.Partition] = one.End
			}
		}
		made := client(broker,
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts}),
			kgo.FetchMaxWait(500*time.Millisecond))
		for len(ends) > 0 {
			fetches := made.PollFetches(context.Background())
			check(fetches.Err())
			fetches.EachRecord(func(got *kgo.Record) {
				tellRecord(got)
				if got.Offset+1 >= ends[got.Partition] {
					delete(ends, got.Partition)
				}
			})
		}
		made.Close()
		tell(map[string]any{"end": true})
	}
}

// member is cooperative, as the client is by default.
func member(broker, topic string, chosen options) {
	alive, end := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		end()
	}()
	var guard sync.Mutex
	owned := []int32{}
	// Callbacks come from another thread than the records.
	change := func(apply func()) {
		guard.Lock()
		defer guard.Unlock()
		apply()
		slices.Sort(owned)
		tell(map[string]any{"assigned": owned})
	}
	lose := func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
		change(func() {
			owned = slices.DeleteFunc(owned, func(one int32) bool { return slices.Contains(lost[topic], one) })
		})
	}
	made := client(broker,
		kgo.ConsumerGroup(chosen.Group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.FetchMaxWait(200*time.Millisecond),
		kgo.SessionTimeout(time.Duration(chosen.Session)*time.Millisecond),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) {
			change(func() { owned = append(owned, added[topic]...) })
		}),
		kgo.OnPartitionsRevoked(lose), kgo.OnPartitionsLost(lose))
	uncommitted := false
	for alive.Err() == nil {
		limit, cancel := alive, context.CancelFunc(func() {})
		if uncommitted {
			limit, cancel = context.WithTimeout(alive, 200*time.Millisecond)
		}
		fetches := made.PollFetches(limit)
		cancel()
		fetches.EachError(func(_ string, _ int32, err error) { fmt.Fprintln(os.Stderr, err) })
		fetches.EachRecord(tellRecord)
		uncommitted = uncommitted || fetches.NumRecords() > 0
		if uncommitted {
			// What a rebalance or the node's end was in the way of is committed again.
			err := made.CommitUncommittedOffsets(context.Background())
			if uncommitted = err != nil; uncommitted {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
	made.Close()
}

func (one record) toSend(topic string) *kgo.Record {
	made := &kgo.Record{
		Topic: topic, Partition: one.Partition, Key: unhex(one.Key), Value: unhex(one.Value),
		Timestamp: time.UnixMilli(one.Timestamp),
	}
	for _, pair := range one.Headers {
		made.Headers = append(made.Headers, kgo.RecordHeader{Key: *pair[0], Value: unhex(pair[1])})
	}
	return made
}

func tellRecord(got *kgo.Record) {
	headers := [][2]*string{}
	for _, one := range got.Headers {
		headers = append(headers, [2]*string{&one.Key, tohex(one.Value)})
	}
	tell(record{got.Partition, got.Offset, got.Timestamp.UnixMilli(), tohex(got.Key), tohex(got.Value), headers})
}

func unhex(text *string) []byte {
	if text == nil {
		return nil
	}
	bytes, err := hex.DecodeString(*text)
	check(err)
	// An empty value is not a missing one.
	return append([]byte{}, bytes...)
}

func tohex(bytes []byte) *string {
	if bytes == nil {
		return nil
	}
	text := hex.EncodeToString(bytes)
	return &text
}

// lines reads the input until the driver closes it.
func lines() func(func(string) bool) {
	return func(yield func(string) bool) {
		reader := bufio.NewReader(os.Stdin)
		for {
			line, err := reader.ReadString('\n')
			if err != nil || !yield(line) {
				return
			}
		}
	}
}

var telling sync.Mutex

func tell(line any) {
	text, err := json.Marshal(line)
	check(err)
	telling.Lock()
	defer telling.Unlock()
	fmt.Println(string(text))
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
