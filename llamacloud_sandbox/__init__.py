"""A LlamaCloud classify API on loopback, with jobs that are made up: for tests of pipelines.

In a test of your own, with `pip install 'tap-llamaclassify[sandbox]'`:

>>> import requests
>>> from llamacloud_sandbox.server import Sandbox
>>> with Sandbox() as sandbox:
...     headers = {"Authorization": f"Bearer {sandbox.key}"}
...     reply = requests.get(f"{sandbox.url}/api/v2/classify", headers=headers, timeout=10)
>>> len(reply.json()["items"])
100

`sandbox.url` and `sandbox.key` are what a pipeline gets as LLAMA_CLOUD_BASE_URL and
LLAMA_CLOUD_API_KEY. `sandbox.world` holds the jobs: `put_v2`, `touch_v2` and `delete_v2` change
them (`put`, `touch`, `delete` those of v1), `advance` lets time pass. What else LlamaCloud shows of
them follows: data points, usage metrics, configurations and files. `sandbox.fail_next("503")`
lets the next request go wrong, `sandbox.requests` is what was asked.

What is in here: `world` (jobs and their lives; no HTTP), `api` (the calls around a world; no
sockets), `wire` (what stands between the calls and a client, faults among it), `server`, which puts
them together, and `command`. Nothing in here knows the tap.
"""
