package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// forwardAnswer bounds what is read of the error that a kubelet reports.
const forwardAnswer = 4 << 10

// forward opens a stream to a port of a pod through the API server.
func (c *Conn) forward(ctx context.Context, namespace, pod string, port int32) (net.Conn, error) {
	type result struct {
		stream httpstream.Connection
		err    error
	}
	// The dialers take no context; one that hangs is left to end by itself,
	// and its connection is closed then.
	done := make(chan result, 1)
	go func() {
		stream, err := c.forwardConnection(namespace, pod)
		done <- result{stream, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("forward to pod %s: %w", pod, r.err)
		}
		nc, err := forwardStreams(r.stream, pod, port)
		if err != nil {
			_ = r.stream.Close()
			return nil, fmt.Errorf("forward to pod %s: %w", pod, err)
		}
		return nc, nil
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil {
				_ = r.stream.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

func (c *Conn) forwardConnection(namespace, pod string) (httpstream.Connection, error) {
	cfg := c.RESTConfig()
	target := c.Client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("prepare stream: %w", err)
	}
	dialer := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
	tunnel, err := portforward.NewSPDYOverWebsocketDialerForStreaming(target, cfg)
	if err != nil {
		return nil, fmt.Errorf("prepare websocket: %w", err)
	}
	// Proxies in front of API servers often refuse SPDY; old API servers do
	// not know the websocket.
	dialer = portforward.NewFallbackDialerForStreaming(tunnel, dialer, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	stream, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	return stream, err
}

// forwardStreams makes one network connection out of the pair of streams that
// the protocol uses.
func forwardStreams(stream httpstream.Connection, pod string, port int32) (net.Conn, error) {
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(int(port)))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	errs, err := stream.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("open error stream: %w", err)
	}
	if err := errs.Close(); err != nil { // nothing is written to it
		return nil, fmt.Errorf("close writing half of error stream: %w", err)
	}
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := stream.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("open data stream: %w", err)
	}
	// A pipe gives the caller deadlines, which the streams do not have.
	near, far := net.Pipe()
	fc := &forwarded{Conn: near, address: forwardAddr(pod + ":" + strconv.Itoa(int(port)))}
	go func() {
		answer, _ := io.ReadAll(io.LimitReader(errs, forwardAnswer))
		if len(answer) > 0 {
			fc.fail(errors.New(string(answer)))
			_ = stream.Close()
		}
	}()
	go func() {
		_, _ = io.Copy(data, far)
		_ = data.Close()
		// The caller closes both halves at once: nobody reads any more.
		_ = stream.Close()
	}()
	go func() {
		_, _ = io.Copy(far, data)
		_ = far.Close()
		_ = stream.Close()
	}()
	return fc, nil
}
