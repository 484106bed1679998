"""Where rows live: tables made from the program, and the runtime's own beside them."""
