//go:build tools

// Package tools only names what the wrapper module builds: `go install
// PKG@VERSION` refuses Prometheus because of its replace directives.
package tools

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
