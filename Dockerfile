# The one image: agent, controller and the operator's commands.
#
#   docker build -t strait:dev .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked --package strait --bin strait

# glibc and CA certificates, no shell; runs as 65532, as the manifests say.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/dist/strait /usr/local/bin/strait
ENTRYPOINT ["/usr/local/bin/strait"]
