// Witness is a backend on Go's net/http: it says on standard output which requests it read, one line each, and answers
// each with its line. It parses HTTP independently of what the proxy is built on.
package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
)

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		// Whoever started this holds the other end.
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	var out sync.Mutex
	say := func(line string) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(line)
	}
	say("listening")
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		whole := "whole"
		if err != nil {
			whole = "broken"
		}
		line := fmt.Sprintf("%s %s %s %s", r.Method, r.RequestURI, whole, "x"+hex.EncodeToString(body))
		say(line)
		w.Header().Set("content-type", "text/plain")
		fmt.Fprintln(w, line)
	})
	// HTTP/2 by prior knowledge too: how a connection begins tells them apart.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := http.Server{Handler: handler, Protocols: &protocols}
	log.Fatal(server.Serve(listener))
}
