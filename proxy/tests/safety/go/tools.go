//go:build tools

// Package tools keeps the version of h2spec in go.mod and its checksum in go.sum.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
