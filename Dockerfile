# One image, four static binaries, no shell, no root. Pods choose the binary by `command`.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN for b in scaivault scaivault-server scaivault-operator kubectl-scaivault; do \
      CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/$b ./cmd/$b || exit 1; \
    done

FROM scratch
COPY --from=build /out/ /usr/local/bin/
USER 65532:65532
ENV PATH=/usr/local/bin
ENTRYPOINT ["scaivault-server"]
