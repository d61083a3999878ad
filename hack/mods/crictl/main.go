// A small CRI client with crictl's name: the calls that kind makes in a node (inspecti, images), and the few
// a person needs there (ps, pods, info). The real one can't be had as a Go module.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	socket  = "unix:///run/containerd/containerd.sock"
	timeout = 20 * time.Second
	usage   = "usage: crictl inspecti IMAGE | images | ps | pods | info"
)

func main() {
	if len(os.Args) < 2 {
		fail(usage)
	}
	connection, err := grpc.NewClient(socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := run(ctx, connection, os.Args[1], os.Args[len(os.Args)-1]); err != nil {
		fail(err)
	}
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}

func run(ctx context.Context, connection *grpc.ClientConn, command, last string) error {
	images := cri.NewImageServiceClient(connection)
	runtime := cri.NewRuntimeServiceClient(connection)
	switch command {
	case "inspecti":
		return inspectImage(ctx, images, last)
	case "images":
		return listImages(ctx, images)
	case "ps":
		return listContainers(ctx, runtime)
	case "pods":
		return listPods(ctx, runtime)
	case "info":
		answer, err := runtime.Version(ctx, &cri.VersionRequest{})
		if err != nil {
			return err
		}
		return show(answer)
	}
	return fmt.Errorf("unknown command %q\n%s", command, usage)
}

func show(value any) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

func inspectImage(ctx context.Context, images cri.ImageServiceClient, name string) error {
	answer, err := images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
	if err != nil {
		return err
	}
	if answer.Image == nil {
		return fmt.Errorf("no such image %q", name)
	}
	return show(map[string]any{"status": map[string]any{
		"id":          answer.Image.Id,
		"repoTags":    answer.Image.RepoTags,
		"repoDigests": answer.Image.RepoDigests,
		"size":        fmt.Sprint(answer.Image.Size),
	}})
}

func listImages(ctx context.Context, images cri.ImageServiceClient) error {
	answer, err := images.ListImages(ctx, &cri.ListImagesRequest{})
	if err != nil {
		return err
	}
	for _, i := range answer.Images {
		fmt.Println(i.Id, i.Size, i.Pinned, i.RepoTags)
	}
	return nil
}

func listContainers(ctx context.Context, runtime cri.RuntimeServiceClient) error {
	answer, err := runtime.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return err
	}
	for _, c := range answer.Containers {
		fmt.Println(c.Id, c.State, c.Metadata.Name, c.PodSandboxId)
	}
	return nil
}

func listPods(ctx context.Context, runtime cri.RuntimeServiceClient) error {
	answer, err := runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	for _, p := range answer.Items {
		fmt.Println(p.Id, p.State, p.Metadata.Namespace, p.Metadata.Name)
	}
	return nil
}
