"""The API methods.

Each module lists its own in ROUTES as (HTTP method, path of Proxmox's API viewer, handler); a new module here is found
by itself. A handler takes a `Context` and gives back the answer's data, or raises `PveError`. It may block: the server
runs it in a thread. Handlers also serve `pvesh` and the other command-line tools, in their process, which must not pay
for what only a server needs: to load asyncio takes longer than most calls. What takes long goes into
`ctx.start_task(...)`, whose UPID is the answer.
"""
