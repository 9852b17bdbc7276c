# The models as an OCI image, for volumes of kind `image` (Kubernetes 1.31 and newer, off by default before 1.35) or as a base to copy from:
#   docker build -f models.Dockerfile -t __NAME__-models:1 __REPOSITORY_SHELL__
FROM scratch
COPY . /
