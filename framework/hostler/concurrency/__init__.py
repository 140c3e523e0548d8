"""Small mechanisms on asyncio and threads; nothing here knows servers."""
