package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pocketbase/dbx"
	"github.com/pocketbase/pocketbase/core"
)

const key = "test-key"

// Started with this variable, the test binary is the backend: the tests run the real program.
const beBackend = "LINKIT_BACKEND_UNDER_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(beBackend) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestTelemetryIsAsDocumented(t *testing.T) {
	b := start(t, seeded(t), "--refresh", "0")

	status, body := b.get("/api/v1/telemetry", key)
	want := `^\{"version":"1\.0\.0","measured":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",` +
		`"runtime":\{"goroutines":\d+,"cpu_count":\d+,"alloc_mb":\d+,"total_alloc_mb":\d+,"sys_mb":\d+,"num_gc":\d+,"gc_pause_ns":\d+\},` +
		`"store":\{"products":30,"branches":4,"skus":120,"orders":50,"customers":20\},` +
		`"staging":\{"pending":7,"processing":3,"completed_today":90\}\}\n$`
	if status != http.StatusOK || !regexp.MustCompile(want).MatchString(body) {
		t.Errorf("%d %s\nis not %s", status, body, want)
	}
}

func TestOnlyTheRawKeyOpens(t *testing.T) {
	b := start(t, t.TempDir())

	for _, wrong := range []string{"", "test-ke", "test-key2", "Bearer test-key"} {
		status, body := b.get("/api/v1/telemetry", wrong)
		if status != http.StatusUnauthorized || body != `{"code":401,"error":"Unauthorized","details":"Valid API key required"}`+"\n" {
			t.Errorf("key %q: %d %s", wrong, status, body)
		}
	}
}

func TestOpenRoutes(t *testing.T) {
	b := start(t, t.TempDir(), "--environment", "test")

	now := `"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"`
	for path, want := range map[string]string{
		"/api/v1/ping":                   `^\{"message":"pong","timestamp":` + now + `\}\n$`,
		"/api/v1/health":                 `^\{"status":"healthy","version":"1\.0\.0","environment":"test","timestamp":` + now + `\}\n$`,
		"/debug/vars":                    `"memstats": \{"Alloc":\d+,"TotalAlloc":\d+`,
		"/debug/pprof/goroutine?debug=1": `^goroutine profile: total \d+\n`,
		"/metrics":                       `\ngo_goroutines \d+\n(?s:.*)\nprocess_start_time_seconds `,
	} {
		status, body := b.get(path, "")
		if status != http.StatusOK || !regexp.MustCompile(want).MatchString(body) {
			t.Errorf("%s: %d %.300s", path, status, body)
		}
	}
}

func TestWorkMovesItemsUntilStalled(t *testing.T) {
	b := start(t, t.TempDir(), "--refresh", "0", "--work", "--work-rate", "200", "--faults")

	b.until(`"orders":[1-9]\d+.*"completed_today":[1-9]`)
	b.post("/faults/stall?on=true")
	b.until(`"pending":[1-9]\d\d,"processing":0,`)
	b.post("/faults/stall?on=false")
	b.until(`"pending":\d?\d,"processing":[1-9]`)

	b.post("/faults/leak?rate=1000")
	b.until(`"goroutines":\d{3}`)
}

func TestMeasureTimesAWriter(t *testing.T) {
	b := start(t, t.TempDir(), "--measure", "--refresh", "0")

	status, body := b.do(http.MethodPost, "/measure?rate=200&for=500ms&checkpoint=100ms", key)
	var m measured
	if err := json.Unmarshal([]byte(body), &m); status != http.StatusOK || err != nil {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	ordered := 0 < m.P50 && m.P50 <= m.P99 && m.P99 <= m.Max
	if m.Transactions != 100 || !ordered || m.WALPeak == 0 || m.Checkpoints == 0 || m.CheckpointsBusy > 0 || m.CheckpointMax == 0 {
		t.Errorf("%+v", m)
	}
	if _, body := b.get("/api/v1/telemetry", key); !strings.Contains(body, `"orders":100,`) {
		t.Errorf("not written: %s", body)
	}
	for _, wrong := range []string{"", "?rate=0&for=1s&checkpoint=0s", "?rate=1&for=0s&checkpoint=0s", "?rate=1&for=1s&checkpoint=often"} {
		if status, _ := b.do(http.MethodPost, "/measure"+wrong, key); status != http.StatusBadRequest {
			t.Errorf("%q: %d", wrong, status)
		}
	}
}

func TestBusyPortFails(t *testing.T) {
	b := start(t, t.TempDir())

	if err := backend("serve", "--dir", t.TempDir(), "--http", strings.TrimPrefix(b.url, "http://")).Run(); err == nil {
		t.Error("a second backend on the port ended with exit code 0")
	}
}

func TestSeededTimesKeepToTheirDay(t *testing.T) {
	midnight := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

	for _, sinceMidnight := range []time.Duration{0, 3 * time.Millisecond, 13 * time.Hour, 24*time.Hour - time.Millisecond} {
		now := midnight.Add(sinceMidnight)
		app := core.NewBaseApp(core.BaseAppConfig{DataDir: t.TempDir()})
		if err := app.Bootstrap(); err != nil {
			t.Fatal(err)
		}
		sizes := sizes{pending: 1, processing: 2, completed: 40, completedYesterday: 30}
		if err := sizes.fill(t.Context(), app, now); err != nil {
			t.Fatal(err)
		}

		staging, err := newTelemetry(app, 0).countStaging(now)
		if want := (stagingFigures{Pending: 1, Processing: 2, CompletedToday: 40}); err != nil || staging != want {
			t.Errorf("at %s: %+v is not %+v (%v)", now, staging, want, err)
		}
		var times []string
		if err := app.DB().Select("completed").From("staging").Where(dbx.HashExp{"status": completed}).Column(&times); err != nil {
			t.Fatal(err)
		}
		for _, text := range times {
			moment, err := time.Parse("2006-01-02 15:04:05.000Z", text)
			if err != nil || moment.After(now) || moment.Before(midnight.AddDate(0, 0, -1)) {
				t.Errorf("at %s: completed %q (%v)", now, text, err)
			}
		}
		if err := app.ResetBootstrapState(); err != nil {
			t.Error(err)
		}
	}
}

// running is a backend that answers at url; it must stop on SIGTERM, quickly and with exit code 0.
type running struct {
	t   *testing.T
	url string
}

func backend(args ...string) *exec.Cmd {
	command := exec.Command(os.Args[0], args...)
	command.Env = append(os.Environ(), beBackend+"=1", "LINKIT_API_KEY="+key)
	command.Stderr = os.Stderr
	return command
}

func seeded(t *testing.T) string {
	dir := t.TempDir()
	err := backend("seed", "--dir", dir, "--products", "30", "--branches", "4", "--orders", "50", "--customers", "20",
		"--pending", "7", "--processing", "3", "--completed", "90", "--completed-yesterday", "5").Run()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, dir string, args ...string) *running {
	command := backend(append([]string{"serve", "--dir", dir, "--http", "127.0.0.1:0"}, args...)...)
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	b := &running{t: t}
	if _, err := fmt.Sscanf(line, "linkit-backend listening on %s\n", &b.url); err != nil {
		t.Fatalf("ready line %q: %v", line, err)
	}

	t.Cleanup(func() {
		asked := time.Now()
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := command.Wait(); err != nil || time.Since(asked) > 2*time.Second {
			t.Errorf("stopped after %s: %v", time.Since(asked), err)
		}
	})
	return b
}

func (b *running) get(path, key string) (status int, body string) {
	b.t.Helper()
	return b.do(http.MethodGet, path, key)
}

func (b *running) post(path string) {
	b.t.Helper()
	if status, body := b.do(http.MethodPost, path, key); status != http.StatusOK {
		b.t.Fatalf("%s: %d %s", path, status, body)
	}
}

func (b *running) do(method, path, key string) (int, string) {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// until asks for the telemetry until it looks as wanted.
func (b *running) until(want string) {
	b.t.Helper()
	var body string
	for range 200 {
		if _, body = b.get("/api/v1/telemetry", key); regexp.MustCompile(want).MatchString(body) {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	b.t.Fatalf("%s never became %s", body, want)
}
