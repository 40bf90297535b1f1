package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
	"github.com/lockstepfs/lockstep/server"
)

// exampleServer stands for a Lockstep server at http://127.0.0.1:7600.
func exampleServer() *httptest.Server {
	b, c := &backend{}, catalog()
	srv, err := server.New(server.Config{Catalog: func() *feature.Catalog { return c }, Reader: b, Trainer: b, Pusher: b})
	if err != nil {
		log.Fatal(err)
	}
	return httptest.NewServer(srv.Handler())
}

func Example() {
	web := exampleServer()
	defer web.Close()
	client, err := sdk.Open(web.URL, sdk.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	answer, err := client.Online(context.Background(), sdk.OnlineRequest{
		Service:  "delay_model",
		Entities: map[string]any{"airport": []string{"JFK", "XXX"}, "gate": []int{1, 1}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, vector := range answer.Vectors {
		cell, _ := vector.Cell("departures.load")
		fmt.Println(vector.Keys.Value("airport"), cell.Value, cell.Status)
	}
	// Output:
	// "JFK" 12 present
	// "XXX" NULL missing
}

func ExampleClient_Push() {
	web := exampleServer()
	defer web.Close()
	client, err := sdk.Open(web.URL, sdk.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	type flight struct {
		Origin string `json:"origin"`
		Delay  int    `json:"delay"`
	}
	err = client.Push(context.Background(), "flights", []flight{{"JFK", 12}, {"LAX", 0}})
	fmt.Println(err)
	err = client.Push(context.Background(), "trains", []flight{{"JFK", 12}})
	fmt.Println(errors.Is(err, feature.ErrNotFound), err)
	// Output:
	// <nil>
	// true unknown source "trains": expected one of flights
}

func ExampleClient_Training() {
	web := exampleServer()
	defer web.Close()
	client, err := sdk.Open(web.URL, sdk.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	request := sdk.TrainingRequest{
		Service: "delay_model",
		Rows:    []map[string]any{{"airport": "JFK", "gate": 1, "ts": "2001-06-25T12:00:00Z"}},
	}
	for row, err := range client.Training(context.Background(), request) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(row.Value("airport"), row.Value("departures.load"))
		break
	}
	// Output:
	// "JFK" 0
}
