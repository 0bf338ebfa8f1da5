"""Our WebSocket protocol class: `uvicorn.Config(ws=WebSocketProtocol)`.

Why our own, and what was measured: `docs/decisions/0003-websocket-class.md`.
"""

from app.transports.websocket.protocol import WebSocketProtocol

__all__ = ["WebSocketProtocol"]
