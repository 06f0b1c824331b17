#pragma once
// The longjmp fence between Swift and Lua.
//
// Lua reports errors by longjmp, which must never cross a Swift frame. Every function that Lua calls is C and
// lives in this target. Swift implements the work behind a binding as a leaf: a function that reads decoded
// arguments, writes results and returns what to do next. The leaf has returned before anything here can raise.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// One virtual machine with everything a worker keeps for it. Used by one thread at a time.
typedef struct mg_lua mg_lua;
/// A pooled coroutine that waits for its host.
typedef struct mg_thread mg_thread;

typedef enum mg_kind {
    MG_NIL,
    MG_BOOLEAN,
    MG_INTEGER,
    MG_NUMBER,
    MG_STRING,
    /// key, value, key, value, … MG_END
    MG_TABLE,
    /// value, value, … MG_END. Results only: a table from Lua always comes as MG_TABLE.
    MG_LIST,
    MG_END,
    /// Results only: an object made by `mg_lua_new_object`.
    MG_OBJECT,
    /// A registry reference, in `integer`. In results: what it stands for. As an argument: a function, whose reference
    /// the leaf takes over unless it fails, and gives back by `mg_lua_release`.
    MG_REFERENCE,
    /// Results only: the context of the running scope, see `mg_lua_set_context_leaves`.
    MG_SCOPE_TABLE,
    /// Results only: a function without arguments that calls the method `bytes` (a C string) of the object that the
    /// leaf was called on: iterators that may wait.
    MG_METHOD,
    /// Arguments only: a function, thread or object; `bytes` is the name of its type.
    MG_OTHER,
    /// JSON's null as a value that tables can hold.
    MG_NULL,
    /// Results only: as MG_LIST, and marked as an array, so that it stays one when it is empty.
    MG_ARRAY,
    /// Results only: the call's first argument, or a new table, marked as an array.
    MG_MARKED
} mg_kind;

/// One value on its way between Lua and Swift.
typedef struct mg_value {
    mg_kind kind;
    /// Bytes of a string; for tables and lists in results the expected number of entries; for a table among the
    /// arguments 1 if it is marked as an array.
    uint32_t size;
    union {
        bool boolean;
        /// Also: the first tape entry of a table argument.
        int64_t integer;
        double number;
        /// Alive until the leaf returns (arguments), or until the results were pushed (results).
        const uint8_t *_Nullable bytes;
        void *_Nullable object;
    };
} mg_value;

/// Values in a row; tables lie flat between MG_TABLE or MG_LIST and MG_END.
typedef struct mg_tape {
    mg_value *_Nullable values;
    int32_t count;
    int32_t capacity;
} mg_tape;

/// Makes room for more values; false when memory is out or the tape has 16 million values.
bool mg_tape_grow(mg_tape *_Nonnull tape);
/// Frees the values of a tape that its owner has made.
void mg_tape_free(mg_tape *_Nonnull tape);

/// Appends one value; false where `mg_tape_grow` fails.
static inline bool mg_tape_push(mg_tape *_Nonnull tape, mg_value value) {
    if (tape->count == tape->capacity && !mg_tape_grow(tape)) return false;
    tape->values[tape->count] = value;
    tape->count += 1;
    return true;
}

/// Where the script is that one thread runs for long, for other threads.
typedef struct mg_place mg_place;

/// A place for `mg_place_note`; NULL when memory is out.
mg_place *_Nullable mg_place_new(void);
void mg_place_free(mg_place *_Nullable place);

/// Has the calling thread note where its scripts are that run for longer than 300 ms of its CPU time, as long as they run.
void mg_place_note(mg_place *_Nullable place);

/// On any thread. False: no script runs for long, or the place was noted anew meanwhile.
///
/// - Parameters:
///   - file: gets the name of the file that runs, cut to `size` - 1 bytes.
///   - hook_file: the same of the file whose hook it is; the two differ in functions of modules.
bool mg_place_read(
    const mg_place *_Nonnull place, char *_Nonnull file, char *_Nonnull hook_file, size_t size, int *_Nonnull line);

/// What objects are bound to: one exchange in a host. Objects work only while their scope runs.
typedef struct mg_scope {
    void *_Nullable native;
    /// Raised to kill every object handed out before.
    uint32_t generation;
    /// Raised whenever a hook goes on after a wait: unfinished `pairs` loops end there.
    uint32_t turn;
    /// Registry reference of the scope's context; 0: none yet.
    int32_t table;
    /// The same of those values of the context that stay within the VM.
    int32_t locals;
} mg_scope;

/// What stands behind a userdata.
typedef struct mg_object {
    uint32_t magic;
    uint16_t kind;
    /// Unfinished `pairs` loops over this object.
    uint16_t iterators;
    uint32_t generation;
    /// The scope's turn in which `iterators` was counted.
    uint32_t turn;
    int32_t reference;
    /// NULL: the object belongs to Lua and is released when collected.
    mg_scope *_Nullable scope;
    void *_Nullable native;
} mg_object;

/// Makes an object usable for the current generation of its scope.
static inline void mg_object_arm(mg_object *_Nonnull object) {
    uint32_t now = object->scope->generation;
    if (object->generation != now) {
        object->generation = now;
        object->iterators = 0;
    }
}

/// One call of a leaf. Lives in the VM and is reused: nothing in it outlives the call.
typedef struct mg_call {
    mg_lua *_Nonnull vm;
    /// What `mg_lua_set_context` set.
    void *_Nullable context;
    /// `native` of the running scope; NULL while a file loads or initialises.
    void *_Nullable scope;
    /// What a method was called on; NULL for library functions.
    mg_object *_Nullable object;
    /// As many as the signature has; absent optional ones are MG_NIL.
    mg_value *_Nonnull arguments;
    /// How many the script passed, without self.
    int32_t passed;
    /// Tables among the arguments.
    mg_tape *_Nonnull input;
    /// Where the leaf writes its results.
    mg_tape *_Nonnull output;
    /// In an iteration leaf: 0 at first, then as the leaf left it.
    int64_t position;
    /// In a constructing leaf: what the new object owns, and its size in bytes where that is more than some hundred: it counts
    /// for who makes it.
    void *_Nullable created;
    size_t created_size;
} mg_call;

typedef enum mg_action {
    /// The results are in `output`.
    MG_RETURN,
    /// `mg_call_fail` has taken the message.
    MG_FAIL,
    /// The same, and the message gets no position in the script: it is about settings.
    MG_REFUSE,
    /// The hook waits; `mg_lua_resume` will bring the results. Only for bindings with `~`.
    MG_WAIT,
    /// The hook ends here, whatever `pcall` stands around it.
    MG_STOP,
    /// The run is over its time limit, see `mg_call_is_over_limit`: the hook ends here as an overrun.
    MG_LEAVE
} mg_action;

typedef mg_action (*mg_leaf)(mg_call *_Nonnull call);

/// One function of a class or library.
///
/// The signature has one letter per argument, `?` behind it for optional ones:
/// `s` string (numbers are printed, integral ones without `.0`), `i` integer, `n` number, `b` boolean,
/// `t` table, `v` any value, `f` function, `d` string or an object whose class has bytes (see `mg_lua_define_bytes`), which come
/// as MG_STRING without having been copied, `r` table in which such objects may stand for strings. A leading `~` says that the
/// leaf may wait; a leading `=` that it makes an object of the class `constructs`.
typedef struct mg_binding {
    /// In libraries dots make nested tables: `password.verify`.
    const char *_Nonnull name;
    const char *_Nonnull signature;
    mg_leaf _Nonnull leaf;
    uint16_t constructs;
} mg_binding;

/// Takes a copy of the message, cut at 4095 bytes; returns MG_FAIL.
mg_action mg_call_fail(mg_call *_Nonnull call, const uint8_t *_Nonnull message, size_t length);
/// Whether the run that calls is over its time limit. A leaf that works for longer than some milliseconds asks now and then,
/// and returns MG_LEAVE then.
bool mg_call_is_over_limit(const mg_call *_Nonnull call);
/// Stops the clock of the run that calls, and lets it go on: what the host reads and parses for a script is no time of the
/// script's. In pairs, within one leaf.
void mg_call_stop_clock(mg_call *_Nonnull call);
void mg_call_start_clock(mg_call *_Nonnull call);
/// `size` bytes that stay until the next call of a leaf; NULL when memory is out.
uint8_t *_Nullable mg_call_scratch(mg_call *_Nonnull call, size_t size);
/// Prints a number as scripts expect it (`5`, `3.5`); `text` has room for 32 bytes. Returns the length.
uint32_t mg_print_number(mg_value number, uint8_t *_Nonnull text);

// MARK: The machine

/// A VM with the sandbox and nothing else.
/// - limit: bytes it may hold; milliseconds: CPU time of one run, unless its function has a limit of its own. NULL when memory is out.
mg_lua *_Nullable mg_lua_open(size_t limit, uint32_t milliseconds);
void mg_lua_close(mg_lua *_Nonnull vm);
void mg_lua_set_context(mg_lua *_Nonnull vm, void *_Nullable context);
/// What a VM holds, in bytes.
typedef struct mg_memory {
    size_t held;
    /// The most it has held.
    size_t peak;
    /// What the last full collection left.
    size_t live;
    size_t limit;
} mg_memory;

mg_memory mg_lua_memory(const mg_lua *_Nonnull vm);
/// The same as `held` of it, on the way of a request.
size_t mg_lua_held(const mg_lua *_Nonnull vm);
/// Bytes that the last run has asked for since it began or went on, whatever became of them.
size_t mg_lua_taken(const mg_lua *_Nonnull vm);

/// What several VMs of one thread may hold together, in bytes.
typedef struct mg_pool {
    size_t held;
    size_t limit;
} mg_pool;

/// Counts what the VM holds in `pool`, which must outlive it or be left before; NULL: in none. On the pool's thread. A pool that is
/// full refuses whoever asks for more.
void mg_lua_join_pool(mg_lua *_Nonnull vm, mg_pool *_Nullable pool);
/// Calls of the allocator that asked for memory since the VM was opened.
uint64_t mg_lua_allocations(const mg_lua *_Nonnull vm);
/// Another reference to a function of a file, with a limit on CPU time of its own; 0 when memory is out.
int32_t mg_lua_limited(mg_lua *_Nonnull vm, int32_t function, uint32_t milliseconds);
/// Gives a function that a leaf has taken over a limit of its own.
void mg_lua_limit(mg_lua *_Nonnull vm, int32_t function, uint32_t milliseconds);
/// A function that takes a handle and calls `hook` with it and each message of `handle:grpcMessages()`; limited as `hook`
/// is. 0 when memory is out.
int32_t mg_lua_message_loop(mg_lua *_Nonnull vm, int32_t hook);
/// A full garbage collection.
void mg_lua_collect(mg_lua *_Nonnull vm);

/// Defines class `kind` (1 to 63). `name` must live as long as the VM.
/// - iterate: behind `pairs(object)`: one step per call, no result at the end; NULL: no `pairs`.
/// - release: frees `native` of an object that belongs to Lua; NULL: nothing to free.
bool mg_lua_define_class(
    mg_lua *_Nonnull vm, uint16_t kind, const char *_Nonnull name, const mg_binding *_Nonnull bindings,
    int32_t count, mg_leaf _Nullable iterate, void (*_Nullable release)(void *_Nonnull native));
/// The bytes of an object; they stay where they are until the leaf that sees them returns.
typedef const uint8_t *_Nonnull (*mg_bytes)(void *_Nonnull native, size_t *_Nonnull size);
/// Lets objects of a class that was defined stand for strings in parameters that take that.
void mg_lua_define_bytes(mg_lua *_Nonnull vm, uint16_t kind, mg_bytes _Nonnull bytes);
/// Defines a library that every file finds as a global and with `require`. An empty name: plain globals.
bool mg_lua_define_library(
    mg_lua *_Nonnull vm, const char *_Nonnull name, const mg_binding *_Nonnull bindings, int32_t count);
/// Defines a whole number in a library.
bool mg_lua_define_constant(
    mg_lua *_Nonnull vm, const char *_Nonnull library, const char *_Nonnull name, int64_t value);
/// Defines MG_NULL in a library; dots in the name lead into nested tables.
bool mg_lua_define_null(mg_lua *_Nonnull vm, const char *_Nonnull library, const char *_Nonnull name);
/// Lets `os.getenv` show a variable; without any it gives nil.
bool mg_lua_define_variable(mg_lua *_Nonnull vm, const char *_Nonnull name, const char *_Nonnull value);
/// Asked by `require` for other names (argument 1): results source, chunk name; no result: not found.
void mg_lua_set_module_source(mg_lua *_Nonnull vm, mg_leaf _Nonnull leaf);
/// Takes what scripts print (argument 1), as one line.
void mg_lua_set_print(mg_lua *_Nonnull vm, mg_leaf _Nonnull leaf);

/// The host's side of contexts, which are tables that several VMs share. Without them a context is its VM's alone.
typedef struct mg_context_leaves {
    /// Argument 1 is the key. Results: its value; none; or MG_OTHER where the value lies in the VM that asks.
    mg_leaf _Nullable read;
    /// Arguments: key and value; MG_NIL removes, MG_OTHER is a value that stays in the VM.
    mg_leaf _Nullable write;
    /// Results: one table of all shared values.
    mg_leaf _Nullable list;
} mg_context_leaves;

/// Gives every scope a context.
void mg_lua_set_context_leaves(mg_lua *_Nonnull vm, mg_context_leaves leaves);

/// Told before each line that runs: the file as messages call it, and the line.
typedef void (*mg_line_hook)(void *_Nullable context, const char *_Nonnull file, int32_t line);
/// For measuring which lines run; NULL ends it. Slows scripts down, and belongs in test runners only.
void mg_lua_set_line_hook(mg_lua *_Nonnull vm, mg_line_hook _Nullable hook, void *_Nullable context);

/// An object bound to `scope`, kept until the VM closes. NULL when memory is out.
mg_object *_Nullable mg_lua_new_object(
    mg_lua *_Nonnull vm, uint16_t kind, mg_scope *_Nonnull scope, void *_Nullable native);
/// Takes an object of `mg_lua_new_object` back: every later use of it raises. NULL does nothing.
void mg_lua_end_object(mg_lua *_Nonnull vm, mg_object *_Nullable object);
/// A read-only table from a tape that holds one MG_TABLE or MG_LIST. Returns its reference, 0 on failure.
int32_t mg_lua_new_table(mg_lua *_Nonnull vm, const mg_tape *_Nonnull tape);
/// Gives a function's reference back.
void mg_lua_release(mg_lua *_Nonnull vm, int32_t reference);
/// Gives back the scope's context, if it has one.
void mg_lua_end_scope(mg_lua *_Nonnull vm, mg_scope *_Nonnull scope);

// MARK: Running

typedef enum mg_outcome {
    MG_FINISHED,
    /// A leaf said MG_WAIT.
    MG_WAITING,
    /// A leaf said MG_STOP.
    MG_STOPPED,
    /// See `mg_lua_failure`.
    MG_FAILED
} mg_outcome;

typedef enum mg_reason {
    MG_REASON_RUNTIME,
    MG_REASON_TIME,
    MG_REASON_MEMORY,
    MG_REASON_SYNTAX,
    /// It yielded for nothing.
    MG_REASON_MISUSE
} mg_reason;

typedef struct mg_failure {
    mg_reason reason;
    /// Starts with `file:line:` where Lua knows it.
    const char *_Nonnull message;
    /// Empty where there is none.
    const char *_Nonnull traceback;
} mg_failure;

/// What the last failing call of the VM left; valid until the next one.
mg_failure mg_lua_failure(const mg_lua *_Nonnull vm);

/// Compiles a source file (text only) with globals of its own and runs its main chunk.
/// A file that defines `envoy_on_request` or `envoy_on_response` finds Lua 5.1's library as far as that goes.
/// - name: how messages call the file.
/// - milliseconds: CPU time of the main chunk. Its functions have that of every other run.
/// Returns a reference to the file's globals; 0 on failure.
int32_t mg_lua_load(
    mg_lua *_Nonnull vm, const uint8_t *_Nonnull source, size_t length, const char *_Nonnull name, uint32_t milliseconds);
/// The global function `name` of a file: a reference; 0: the file has none; -1: it is no function.
int32_t mg_lua_function(mg_lua *_Nonnull vm, int32_t file, const char *_Nonnull name);

/// Appends the names of a file's global functions to `names`; the texts stay until a script runs. False when memory is out.
bool mg_lua_function_names(mg_lua *_Nonnull vm, int32_t file, mg_tape *_Nonnull names);

/// Runs a function with up to one argument (references; 0: none) in a pooled coroutine.
/// - scope: NULL while loading and initialising: then nothing may wait.
/// - waiting: set when the outcome is MG_WAITING.
mg_outcome mg_lua_start(
    mg_lua *_Nonnull vm, mg_scope *_Nullable scope, int32_t function, int32_t argument,
    mg_thread *_Nullable *_Nonnull waiting);
/// Where the results for a waiting hook are put before `mg_lua_resume`. Empties it.
mg_tape *_Nonnull mg_lua_results(mg_lua *_Nonnull vm);
/// Goes on after MG_WAITING with what lies in `mg_lua_results`. `error`: raised in the script instead.
mg_outcome mg_lua_resume(
    mg_lua *_Nonnull vm, mg_scope *_Nonnull scope, mg_thread *_Nonnull thread, const char *_Nullable error);
/// Gives up a waiting hook: it never runs again.
void mg_lua_abandon(mg_lua *_Nonnull vm, mg_thread *_Nonnull thread);

/// Set once a tick of the thread's timer has come while a script ran: other scripts have to wait for a later turn of the thread's
/// loop. Written by the thread and by the signal handler on that same thread, whole each time.
extern _Thread_local volatile int mg_turn_spent;

static inline bool mg_turn_is_spent(void) { return mg_turn_spent != 0; }

/// A turn of the thread's loop begins; `spent`: none of it is for scripts, since others wait already.
static inline void mg_turn_begin(bool spent) { mg_turn_spent = spent; }

/// Whether this build runs under ThreadSanitizer, which holds signals back while a thread is in a loop of its own:
/// the guard cannot strike there.
bool mg_guard_is_held_back(void);
