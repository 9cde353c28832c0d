# Readers go together, a writer with nobody.
steps
lock 1 f s
lock 2 f s
lock 3 f x
free 1 f
lock 3 f x
free 2 f
lock 3 f x
lock 1 f s
others 3 f
others 1 f
end 3
----
lock 1 f s: 1 has it s
lock 2 f s: 2 has it s
lock 3 f x: behind [1 2]
free 1 f: 1 locked
lock 3 f x: behind [2]
free 2 f: 0 locked
lock 3 f x: 3 has it x
lock 1 f s: behind [3]
others 3 f: false
others 1 f: true
end 3: 0 locked

# An owner's lock grows stronger, and never weaker.
steps
lock 1 r s
lock 1 r x
lock 1 r s
lock 2 r s
end 1
lock 2 r s
lock 1 r s
lock 2 r x
----
lock 1 r s: 1 has it s
lock 1 r x: 1 has it x
lock 1 r s: 1 has it x
lock 2 r s: behind [1]
end 1: 0 locked
lock 2 r s: 2 has it s
lock 1 r s: 1 has it s
lock 2 r x: behind [1]

new
----

# Implicit opens go together, and with no other lock of a file.
steps
lock 1 f i
lock 2 f i
lock 3 f s
lock 3 f x
end 1
end 2
lock 3 f s
lock 1 f i
----
lock 1 f i: 1 has it i
lock 2 f i: 2 has it i
lock 3 f s: behind [1 2]
lock 3 f x: behind [1 2]
end 1: 1 locked
end 2: 0 locked
lock 3 f s: 3 has it s
lock 1 f i: behind [3]

new
----

# Circles of two and of three.
steps
lock 1 a x
lock 2 b x
lock 1 b x
lock 2 a x
end 2
lock 1 b x
end 1
----
lock 1 a x: 1 has it x
lock 2 b x: 2 has it x
lock 1 b x: behind [2]
lock 2 a x: behind [1], a circle [2 1]
end 2: 1 locked
lock 1 b x: 1 has it x
end 1: 0 locked

steps
lock 1 a x
lock 2 b x
lock 3 c x
lock 1 b s
lock 2 c s
lock 3 a s
end 3
lock 2 c s
----
lock 1 a x: 1 has it x
lock 2 b x: 2 has it x
lock 3 c x: 3 has it x
lock 1 b s: behind [2]
lock 2 c s: behind [3]
lock 3 a s: behind [1], a circle [3 1 2]
end 3: 2 locked
lock 2 c s: 2 has it s

new
----

# Two readers that both want to write.
steps
lock 1 a s
lock 2 a s
lock 1 a x
lock 2 a x
end 2
lock 1 a x
----
lock 1 a s: 1 has it s
lock 2 a s: 2 has it s
lock 1 a x: behind [2]
lock 2 a x: behind [1], a circle [2 1]
end 2: 1 locked
lock 1 a x: 1 has it x
