"""A FreeSWITCH made of asyncio: it speaks event socket, and people behave by a scenario and a seed."""
