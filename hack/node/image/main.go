// Command image makes a container image without a container engine: it does what the last stage of a Dockerfile
// says, which must be FROM scratch, with the files that the stage before would have left in /out.
//
//	image -dockerfile Dockerfile -files DIR -ref ghcr.io/scailabs/scaivault:e2e -out scaivault.tar
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	dockerfile := flag.String("dockerfile", "Dockerfile", "what to do")
	files := flag.String("files", "", "directory that stands for /out of the stage before")
	ref := flag.String("ref", "", "the image's name and tag")
	out := flag.String("out", "", "archive to write, which ctr images import and docker load read")
	flag.Parse()
	if err := run(*dockerfile, *files, *ref, *out); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(dockerfile, files, ref, out string) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return err
	}
	s, err := parse(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", dockerfile, err)
	}
	image, err := build(s, files)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(out, tag, image)
}

func build(s stage, files string) (v1.Image, error) {
	content, err := layer(files, s.copyTo)
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	l, err := tarball.LayerFromOpener(open)
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{User: s.user, Env: s.env, Entrypoint: s.entrypoint}
	return mutate.ConfigFile(image, config)
}

// layer is a tar of the programs of a directory, put below to, with the directories above them.
func layer(files, to string) ([]byte, error) {
	entries, err := os.ReadDir(files)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, dir := range above(to) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}); err != nil {
			return nil, err
		}
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(files, e.Name()))
		if err != nil {
			return nil, err
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(to, e.Name())[1:], Mode: 0o755, Size: int64(len(content))}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

// above names the directories on the way to an absolute path, that one included, without the leading slash.
func above(to string) []string {
	to = path.Clean(to)
	if to == "/" {
		return nil
	}
	return append(above(path.Dir(to)), to[1:])
}
