"""The API methods.

Each module lists its own in ROUTES as (HTTP method, path of Proxmox's API viewer, handler); a new module here is found
by itself. A handler takes a `Context` and gives back the answer's data, or raises `PveError`. A plain function may
block: it runs in a thread; a coroutine must not. Handlers also serve `pvesh` and the other command-line tools, in
their process. What takes long goes into `ctx.start_task(...)`, whose UPID is the answer.
"""
