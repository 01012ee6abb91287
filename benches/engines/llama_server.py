"""llama.cpp's server on a port of this machine: llama_server.py MODEL.gguf PORT [THREADS]. As `llama-server -m MODEL.gguf --port
PORT -t THREADS -np 2`, whose code it is."""

import signal
import sys

import xllamacpp

settings = xllamacpp.CommonParams()
settings.model.path, settings.hostnames, settings.port = sys.argv[1], ["127.0.0.1"], int(sys.argv[2])
settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = int((sys.argv[3:] or ["2"])[0])
settings.n_parallel = 2
server = xllamacpp.Server(settings)
print(server.listening_address, flush=True)
signal.pause()
