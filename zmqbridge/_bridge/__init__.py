"""The layer between the pure core and the loops: libzmq's sockets, their pump, and their end."""
