"""What happened, for the programs of others: events kept in the database, and sent to whoever subscribed to them."""
