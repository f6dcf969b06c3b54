"""The HTTP server: routes, and the checks that keep other web pages out of the control API."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from deploy.lab.listening import listen

from . import api, control, interactions
from .methods import files
from .workspace import Options, Workspace

MOST_BYTES = 64 * 1024 * 1024
NO_PAGE = "<!doctype html><title>Lab</title><p>The page is not built; the control API is under /lab/.</p>"


class LabServer:
    """A running workspace on a loopback port: `async with LabServer(Options()) as lab: lab.url`."""

    def __init__(self, options: Options, *, port: int = 0, also_in: int | None = None) -> None:
        self.workspace = Workspace(options)
        self._port, self._also_in = port, also_in
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return self.workspace.url

    async def start(self) -> None:
        self._runner = web.AppRunner(build_app(self.workspace), access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        port = await listen(self._runner, self._port, self._also_in)
        self.workspace.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        self.workspace.stream.close()
        await self.workspace.hub.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def build_app(workspace: Workspace) -> web.Application:
    app = web.Application(client_max_size=MOST_BYTES, middlewares=[_guard(workspace)])

    def bind(
        work: Callable[[Workspace, web.Request], Awaitable[web.StreamResponse]],
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            return await work(workspace, request)

        return answer

    async def serve_page(request: web.Request) -> web.StreamResponse:
        return _page_file(workspace, request.match_info.get("file", "index.html"))

    app.add_routes(
        [
            web.get("/", serve_page),
            web.get("/page/{file:.+}", serve_page),
            web.get("/lab/stream", workspace.stream.serve),
            web.get("/lab/files/{file_id}", bind(files.show)),
            web.get("/files-pri/{reference}/{name}", bind(files.download)),
            web.post("/upload/v1/{file_id}", bind(files.receive_upload)),
            web.get("/lab/{name}", bind(control.read)),
            web.post("/lab/{name}", bind(control.act)),
            web.get("/api/{method}", bind(api.call_method)),
            web.post("/api/{method}", bind(api.call_method)),
            web.get("/link/", workspace.hub.serve),
            web.post("/{kind:actions|commands|app}/{team}/{number}/{secret}", bind(interactions.answer_response_url)),
        ]
    )
    return app


def _guard(workspace: Workspace) -> Callable[..., Awaitable[web.StreamResponse]]:
    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse browsers that were sent here by another site (forged requests, DNS rebinding)."""
        port = workspace.url.rpartition(":")[2]
        known = {f"127.0.0.1:{port}", f"localhost:{port}"}
        origin = request.headers.get("Origin")
        if request.host not in known or (origin is not None and origin.removeprefix("http://") not in known):
            return web.Response(status=403, text="The lab answers its own page and local programs only.")
        return await handler(request)

    return check


def _page_file(workspace: Workspace, name: str) -> web.StreamResponse:
    root = workspace.options.page.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        return web.Response(status=404)
    if not path.is_file():
        return web.Response(text=NO_PAGE, content_type="text/html", status=200 if name == "index.html" else 404)
    return web.FileResponse(path, headers={"Cache-Control": "no-store"})
