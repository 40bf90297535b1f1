FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /lockstep ./cmd/lockstep

FROM gcr.io/distroless/static-debian12
COPY --from=build /lockstep /lockstep
EXPOSE 7600
ENTRYPOINT ["/lockstep"]
