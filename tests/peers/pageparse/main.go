// Pageparse reads scrape pages with the parsers of Prometheus and prints their
// series. A page on stdin is a line with its Content-Type, a tab and its length
// in bytes, then those bytes; it is answered by a line of JSON.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// A series: its labels, the name among them, its value's bits in hexadecimal,
// since when it counts in Unix milliseconds, and its native histogram if it is
// one.
type series struct {
	Labels    map[string]string `json:"labels"`
	Value     string            `json:"value"`
	Start     int64             `json:"start"`
	Histogram string            `json:"histogram,omitempty"`
}

// What a parser made of a page.
type parsed struct {
	Error  string   `json:"error,omitempty"`
	Series []series `json:"series,omitempty"`
}

// What both parsers made of it: that of the server, and that of the libraries
// around it, which knows no OpenMetrics.
type answer struct {
	Server  parsed  `json:"server"`
	Library *parsed `json:"library,omitempty"`
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		contentType, body, err := read(in)
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = json.NewEncoder(out).Encode(answer{server(contentType, body), library(contentType, body)})
		}
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "pageparse:", err)
			os.Exit(1)
		}
	}
}

func read(in *bufio.Reader) (string, []byte, error) {
	head, err := in.ReadString('\n')
	if err != nil {
		return "", nil, err
	}
	contentType, size, _ := strings.Cut(strings.TrimSuffix(head, "\n"), "\t")
	length, err := strconv.Atoi(size)
	if err != nil {
		return "", nil, err
	}
	body := make([]byte, length)
	_, err = io.ReadFull(in, body)
	return contentType, body, err
}

// The parser of the server.
func server(contentType string, body []byte) parsed {
	parser, err := textparse.New(body, contentType, nil, textparse.ParserOptions{
		KeepClassicOnClassicAndNativeHistograms: true,
		OpenMetricsSkipSTSeries:                 true,
	})
	if err != nil {
		return parsed{Error: err.Error()}
	}
	result := parsed{Series: []series{}}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return result
		}
		if err != nil {
			return parsed{Error: err.Error()}
		}
		var held labels.Labels
		switch entry {
		case textparse.EntrySeries:
			_, _, value := parser.Series()
			parser.Labels(&held)
			result.Series = append(result.Series, series{held.Map(), bits(value), parser.StartTimestamp(), ""})
		case textparse.EntryHistogram:
			_, _, histogram, _ := parser.Histogram()
			parser.Labels(&held)
			if err := histogram.Validate(); err != nil {
				return parsed{Error: err.Error()}
			}
			result.Series = append(result.Series, series{held.Map(), bits(histogram.Sum), parser.StartTimestamp(), histogram.String()})
		}
	}
}

// The parser of the libraries.
func library(contentType string, body []byte) *parsed {
	if strings.HasPrefix(contentType, "application/openmetrics-text") {
		return nil
	}
	families, err := decode(contentType, body)
	if err != nil {
		return &parsed{Error: err.Error()}
	}
	result := parsed{Series: []series{}}
	for _, family := range families {
		samples, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{}, family)
		if err != nil {
			return &parsed{Error: err.Error()}
		}
		for _, sample := range samples {
			held := map[string]string{}
			for name, value := range sample.Metric {
				held[string(name)] = string(value)
			}
			result.Series = append(result.Series, series{held, bits(float64(sample.Value)), 0, ""})
		}
	}
	return &result
}

func decode(contentType string, body []byte) (families []*dto.MetricFamily, err error) {
	decoder := expfmt.NewDecoder(bytes.NewReader(body), expfmt.Format(contentType))
	for {
		family := new(dto.MetricFamily)
		if err := decoder.Decode(family); err != nil {
			if errors.Is(err, io.EOF) {
				return families, nil
			}
			return nil, err
		}
		families = append(families, family)
	}
}

func bits(value float64) string {
	if math.IsNaN(value) {
		value = math.NaN()
	}
	return fmt.Sprintf("%016x", math.Float64bits(value))
}
