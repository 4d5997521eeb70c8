package chart_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sigs.k8s.io/yaml"
)

// process is one pod with its one container.
type process struct {
	n      *node
	pod    *corev1.Pod
	ctx    context.Context
	cancel context.CancelFunc
	ports  map[string]int // by name: free ports of this machine in place of the container's
	paths  map[string]string
	ready  atomic.Bool
	log    logText

	mounted chan struct{} // closed when all is mounted
	once    sync.Once
	seen    map[string]string // versions of the Secrets that are mounted
}

func newProcess(n *node, pod *corev1.Pod) *process {
	p := &process{n: n, pod: pod, ports: map[string]int{}, paths: map[string]string{}, mounted: make(chan struct{}), seen: map[string]string{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for _, port := range p.container().Ports {
		p.ports[port.Name] = freePort(n.t)
	}
	for _, m := range p.container().VolumeMounts {
		p.paths[m.MountPath] = p.volume(m.Name)
	}
	return p
}

func (p *process) container() *corev1.Container { return &p.pod.Spec.Containers[0] }

func (p *process) address(port string) string { return fmt.Sprintf("127.0.0.1:%d", p.ports[port]) }

// live runs the container until the pod goes, as often as its restartPolicy says.
func (p *process) live() {
	select {
	case <-p.ctx.Done():
		return
	case <-p.mounted:
	}
	kubeconfig, err := p.kubeconfig()
	if err != nil {
		p.fail(err)
		return
	}
	for p.ctx.Err() == nil {
		end := make(chan error, 1)
		go p.run(p.line(kubeconfig), end)
		p.report(corev1.PodRunning)
		p.probe(end)
		p.ready.Store(false)
		err := <-end
		switch {
		case p.ctx.Err() != nil:
		case err == nil && p.pod.Spec.RestartPolicy != corev1.RestartPolicyAlways:
			p.report(corev1.PodSucceeded)
			return
		default:
			p.log.add(fmt.Sprintf("ended: %v; starting again\n", err))
			p.report(corev1.PodRunning)
			pause(p.ctx, time.Second)
		}
	}
}

// line is the container's command line with what differs on this machine.
func (p *process) line(kubeconfig string) []string {
	c := p.container()
	line := []string{filepath.Join(p.n.bin, filepath.Base(c.Command[0]))}
	for _, arg := range append(append([]string{}, c.Command[1:]...), c.Args...) {
		line = append(line, p.local(arg))
	}
	return append(line, "--kubeconfig="+kubeconfig)
}

var (
	listens  = regexp.MustCompile(`=:([0-9]+)$`)
	absolute = regexp.MustCompile(`(^|=)/[^=&?]*`)
)

// local translates paths that are mounted, ports that are listened on, and the address of the vault.
func (p *process) local(arg string) string {
	arg = absolute.ReplaceAllStringFunc(arg, func(text string) string {
		for path, dir := range p.paths {
			if at, file, ok := strings.Cut(text+"/", path+"/"); ok && strings.Trim(at, "=") == "" {
				return at + strings.TrimSuffix(dir+"/"+file, "/")
			}
		}
		return text
	})
	if m := listens.FindStringSubmatch(arg); m != nil {
		for _, port := range p.container().Ports {
			if m[1] == fmt.Sprint(port.ContainerPort) {
				arg = strings.TrimSuffix(arg, m[0]) + "=" + p.address(port.Name)
			}
		}
	}
	return strings.Replace(arg, "https://scaivault-server."+p.n.ns+".svc:8443", p.n.vault.url(), 1)
}

// environment is what the pod says, and where our programs are.
func (p *process) environment() ([]string, error) {
	env := []string{"PATH=" + p.n.bin, "TMPDIR=" + p.n.dir}
	for _, e := range p.container().Env {
		if e.ValueFrom == nil {
			env = append(env, e.Name+"="+e.Value)
			continue
		}
		ref := e.ValueFrom.SecretKeyRef
		s, err := p.n.kube.CoreV1().Secrets(p.n.ns).Get(p.ctx, ref.Name, metav1.GetOptions{})
		value, ok := []byte(nil), false
		if err == nil {
			value, ok = s.Data[ref.Key]
		}
		switch {
		case ok:
			env = append(env, e.Name+"="+p.local(string(value)))
		case ref.Optional == nil || !*ref.Optional:
			return nil, fmt.Errorf("%s: Secret %s has no key %s", e.Name, ref.Name, ref.Key)
		}
	}
	return env, nil
}

// run keeps its thread: the kernel kills the child when the thread that made it ends.
func (p *process) run(line []string, end chan<- error) {
	runtime.LockOSThread()
	env, err := p.environment()
	if err != nil {
		end <- err
		return
	}
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &p.log, &p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		end <- err
		return
	}
	stop := context.AfterFunc(p.ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	end <- cmd.Wait()
}

// exec runs a command in place of `kubectl exec` into the container.
func (p *process) exec(args ...string) (string, error) {
	env, err := p.environment()
	if err != nil {
		return "", err
	}
	for i := range args {
		args[i] = p.local(args[i])
	}
	cmd := exec.CommandContext(p.ctx, filepath.Join(p.n.bin, args[0]), args[1:]...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// probe asks for readiness until the process ends.
func (p *process) probe(end chan error) {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} // as a kubelet does
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case err := <-end:
			end <- err
			return
		case <-tick.C:
		}
		if r := p.container().ReadinessProbe; r != nil {
			url := strings.ToLower(string(r.HTTPGet.Scheme)) + "://" + p.address(r.HTTPGet.Port.StrVal) + r.HTTPGet.Path
			p.became(answers(client, url))
		}
	}
}

func answers(client *http.Client, url string) bool {
	resp, err := client.Get(url)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (p *process) became(ready bool) {
	if p.ready.Swap(ready) != ready {
		p.report(corev1.PodRunning)
	}
}

// report tells the API server how the pod is.
func (p *process) report(phase corev1.PodPhase) {
	ready := corev1.ConditionFalse
	if p.ready.Load() || (phase == corev1.PodRunning && p.container().ReadinessProbe == nil) {
		ready = corev1.ConditionTrue
	}
	status := corev1.PodStatus{Phase: phase, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready, LastTransitionTime: metav1.Now()}}}
	raw, err := yaml.Marshal(map[string]any{"status": status})
	if err == nil {
		raw, err = yaml.YAMLToJSON(raw)
	}
	if err == nil {
		_, err = p.n.kube.CoreV1().Pods(p.n.ns).Patch(p.ctx, p.pod.Name, types.MergePatchType, raw, metav1.PatchOptions{}, "status")
	}
	if err != nil && p.ctx.Err() == nil {
		p.log.add("report: " + err.Error() + "\n")
	}
}

func (p *process) fail(err error) {
	if p.ctx.Err() == nil {
		p.log.add(err.Error() + "\n")
		p.n.t.Errorf("pod %s: %v", p.pod.Name, err)
	}
}

// logText keeps what a process says.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) add(s string) { _, _ = l.Write([]byte(s)) }

func (l *logText) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.text.String()
	return s[max(0, len(s)-3000):]
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func freePort(t interface{ Fatal(...any) }) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func link(t interface{ Fatal(...any) }, from, to string) {
	if err := os.Symlink(from, to); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
}
