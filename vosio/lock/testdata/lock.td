# Readers go together, a writer with nobody.
steps
lock 1 f s
lock 2 f s
lock 3 f x
free 1 f
free 2 f
lock 1 f s
others 3 f
others 1 f
end 3
end 1
----
lock 1 f s: 1 has it s
lock 2 f s: 2 has it s
lock 3 f x: behind 1 2
free 1 f: 1 locked
free 2 f: 1 locked, 3 is served
lock 1 f s: behind 3
others 3 f: false
others 1 f: true
end 3: 1 locked, 1 is served
end 1: 0 locked

# An owner's lock grows stronger, and never weaker.
steps
lock 1 r s
lock 1 r x
lock 1 r s
lock 2 r s
end 1
lock 1 r s
lock 2 r x
----
lock 1 r s: 1 has it s
lock 1 r x: 1 has it x
lock 1 r s: 1 has it x
lock 2 r s: behind 1
end 1: 1 locked, 2 is served
lock 1 r s: 1 has it s
lock 2 r x: behind 1

new
----

# Implicit opens go together, and with no other lock of a file.
steps
lock 1 f i
lock 2 f i
try 3 f s
lock 3 f x
end 1
end 2
lock 1 f i
----
lock 1 f i: 1 has it i
lock 2 f i: 2 has it i
try 3 f s: false, 3 has it -
lock 3 f x: behind 1 2
end 1: 1 locked
end 2: 1 locked, 3 is served
lock 1 f i: behind 3

new
----

# Circles of two and of three.
steps
lock 1 a x
lock 2 b x
lock 1 b x
lock 2 a x
end 2
end 1
----
lock 1 a x: 1 has it x
lock 2 b x: 2 has it x
lock 1 b x: behind 2
lock 2 a x: behind 1, a circle 2 1 2; 2 locked
end 2: 2 locked, 1 is served
end 1: 0 locked

steps
lock 1 a x
lock 2 b x
lock 3 c x
lock 1 b s
lock 2 c s
lock 3 a s
end 3
----
lock 1 a x: 1 has it x
lock 2 b x: 2 has it x
lock 3 c x: 3 has it x
lock 1 b s: behind 2
lock 2 c s: behind 3
lock 3 a s: behind 1, a circle 3 1 2 3; 3 locked
end 3: 3 locked, 2 is served

new
----

# Two readers that both want to write.
steps
lock 1 a s
lock 2 a s
lock 1 a x
lock 2 a x
end 2
----
lock 1 a s: 1 has it s
lock 2 a s: 2 has it s
lock 1 a x: behind 2
lock 2 a x: behind 1, a circle 2 1 2; 1 locked
end 2: 1 locked, 1 is served

new
----

# Who waits first is served first; readers that come behind a writer wait, also
# those that would not.
steps
lock 1 f s
lock 2 f x
lock 3 f s
lock 4 f s
try 5 f s
lock 6 f x
free 1 f
free 2 f
end 3
end 4
end 6
----
lock 1 f s: 1 has it s
lock 2 f x: behind 1
lock 3 f s: behind 2
lock 4 f s: behind 2
try 5 f s: false, 5 has it -
lock 6 f x: behind 1 2 3 4
free 1 f: 1 locked, 2 is served
free 2 f: 1 locked, 3 is served, 4 is served
end 3: 1 locked
end 4: 1 locked, 6 is served
end 6: 0 locked

new
----

# Who gives up lets those behind it go.
steps
lock 1 f s
lock 2 f x
lock 3 f s
lock 4 f s
stop 2
end 3
end 4
end 1
----
lock 1 f s: 1 has it s
lock 2 f x: behind 1
lock 3 f s: behind 2
lock 4 f s: behind 2
stop 2: 1 locked, 3 is served, 4 is served
end 3: 1 locked
end 4: 1 locked
end 1: 0 locked

new
----

# A stronger lock of one's own goes before the queue, and so does what another
# owner of a process that holds the object asks.
steps
lock 1 f s
lock 2 f s
lock 3 f x
lock 1.1 f s
lock 1 f x
free 2 f
free 1.1 f
held 1
free 1 f
end 3
----
lock 1 f s: 1 has it s
lock 2 f s: 2 has it s
lock 3 f x: behind 1 2
lock 1.1 f s: 1.1 has it s
lock 1 f x: behind 2 1.1, a circle 1 1.1; 1 locked
free 2 f: 1 locked
free 1.1 f: 1 locked
held 1: [f]
free 1 f: 1 locked, 3 is served
end 3: 0 locked

new
----

# A process stands still while one of its owners waits.
steps
lock 1.1 a x
lock 2 b x
lock 1.2 b x
lock 2 a x
end 2
----
lock 1.1 a x: 1.1 has it x
lock 2 b x: 2 has it x
lock 1.2 b x: behind 2
lock 2 a x: behind 1.1, a circle 2 1.1 2; 2 locked
end 2: 2 locked, 1.2 is served

new
----

# It waits for itself.
steps
lock 1.1 a x
lock 1.2 a s
end 1.1
----
lock 1.1 a x: 1.1 has it x
lock 1.2 a s: behind 1.1, a circle 1.2 1.1; 1 locked
end 1.1: 0 locked

new
----

# A wait behind one that waits is part of a circle too.
steps
lock 1 a s
lock 2 b x
lock 3 a x
lock 2 a s
lock 1 b s
stop 2
end 2
end 1
end 3
----
lock 1 a s: 1 has it s
lock 2 b x: 2 has it x
lock 3 a x: behind 1
lock 2 a s: behind 3
lock 1 b s: behind 2, a circle 1 2 3 1; 2 locked
stop 2: 2 locked
end 2: 1 locked
end 1: 1 locked, 3 is served
end 3: 0 locked

new
----

# Who has a file open for record locking and wants it shared too needs it alone.
steps
lock 1 f i
lock 2 f i
try 1 f s
end 2
try 1 f s
lock 3 f i
end 1
end 3
----
lock 1 f i: 1 has it i
lock 2 f i: 2 has it i
try 1 f s: false, 1 has it i
end 2: 1 locked
try 1 f s: true, 1 has it x
lock 3 f i: behind 1
end 1: 1 locked, 3 is served
end 3: 0 locked

new
----

# Alone for a while.
steps
lock 1 f i
lock 1 f x
lock 2 f i
lock 3 f i
weak 1 f i
weak 1 f s
end 1
end 2
end 3
----
lock 1 f i: 1 has it i
lock 1 f x: 1 has it x
lock 2 f i: behind 1
lock 3 f i: behind 1
weak 1 f i: 1 locked, 2 is served, 3 is served
weak 1 f s: 1 locked
end 1: 1 locked
end 2: 1 locked
end 3: 0 locked
