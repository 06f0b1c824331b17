#pragma once
// What the files behind mg_lua.h share. Not for Swift.
#include "mg_lua.h"
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <signal.h>

#define MG_OBJECT_MAGIC 0x4d476f31u
#define MG_ITERATOR_MAGIC 0x4d476931u
#define MG_CLASSES 64
#define MG_ARGUMENTS 8
#define MG_TABLE_DEPTH 32
/// Steps that one library call written in C may take before it must have asked the guard.
#define MG_STEPS_MAX 1000000
#define MG_SOURCE_MAX (1 << 20)
/// What `load` takes while a hook runs.
#define MG_LOADED_MAX (1 << 16)
#define MG_TEXT_MAX (1 << 20)

/// Why a script is being left for good: nothing in it may catch this.
typedef enum mg_unwind { MG_UNWIND_NONE, MG_UNWIND_STOP, MG_UNWIND_KILL } mg_unwind;

typedef struct mg_class {
    /// Registry reference of the metatable.
    int metatable;
    const char *name;
    mg_leaf iterate;
    void (*release)(void *native);
    mg_bytes bytes;
} mg_class;

typedef struct mg_parameter {
    char type;
    bool optional;
} mg_parameter;

/// A binding with its signature taken apart. Lives as long as the VM.
typedef struct mg_bound {
    char *name;
    mg_leaf leaf;
    /// 0: a library function.
    uint16_t kind;
    uint16_t constructs;
    bool may_wait;
    bool has_functions;
    uint8_t count;
    mg_parameter parameters[MG_ARGUMENTS];
    struct mg_bound *next;
} mg_bound;

/// Functions of Lua's own libraries that ours call when they have done their part.
typedef struct mg_library {
    lua_CFunction sub, byte, character, format, pack, unpack_bytes, pack_size;
    lua_CFunction sort;
    lua_CFunction tonumber, date, time, difftime;
} mg_library;

/// What a run may use.
typedef struct mg_terms {
    uint32_t ticks;
    uint32_t milliseconds;
} mg_terms;

static inline mg_terms mg_make_terms(uint32_t milliseconds) {
    uint32_t ticks = milliseconds / 10 + (milliseconds % 10 != 0);
    return (mg_terms){ticks ? ticks : 1, milliseconds};
}

struct mg_thread {
    lua_State *state;
    mg_terms terms;
    int reference;
    mg_thread *next;
};

struct mg_lua {
    lua_State *main;
    /// The coroutine that runs: what the guard stops. Coroutines that scripts make are tracked too.
    lua_State *current;
    mg_scope *scope;

    // The guard. Written by the thread that runs the VM and by the signal handler on that same thread.
    /// One more with each run.
    volatile uint64_t serial;
    volatile uint64_t seen_serial;
    volatile sig_atomic_t overrun;
    uint32_t ticks;
    /// Those of the current run.
    mg_terms terms;
    /// The VM whose run this one's stands in; NULL: none.
    mg_lua *outer;

    mg_unwind unwind;
    /// A leaf said MG_WAIT and the coroutines above it are being suspended.
    bool waiting;
    bool has_poisoned;
    /// The message with which `mg_lua_resume` wakes the hook; NULL: results.
    const char *resume_error;

    /// Bytes in use, the most there have been, and those that the last full collection left.
    size_t memory;
    size_t peak;
    size_t live;
    size_t memory_limit;
    /// Shared with other VMs; NULL: none.
    mg_pool *pool;
    uint64_t allocations;
    /// Bytes asked for since the current run began or went on, whatever became of them.
    size_t taken;
    /// Blocks made or changed, counted before that happens: while it stays the same, no stack moves.
    uint64_t moves;
    /// The allocator has said no in the current run.
    bool refused;
    /// It has said so after a collection: the run is left for good.
    bool spent;
    /// What it has said no to last, and a collection is to make room for; size 0: nothing.
    const void *asked_block;
    size_t asked_old_size;
    size_t asked_new_size;
    /// Where all garbage is collected next.
    size_t collection;
    mg_terms default_terms;
    /// By the registry reference of functions and files.
    mg_terms *known_terms;
    int terms_count;

    mg_call call;
    mg_value arguments[MG_ARGUMENTS];
    /// Objects with bytes may stand for texts in the table that is taken apart.
    bool takes_bytes;
    uint8_t numbers[MG_ARGUMENTS][32];
    mg_tape input;
    mg_tape output;
    uint8_t *scratch;
    size_t scratch_size;
    /// The message of a leaf that fails: faults of several lines of a file, too.
    char message[4096];

    mg_class classes[MG_CLASSES];
    mg_bound *bounds;
    mg_leaf module_source;
    mg_leaf print;
    mg_context_leaves context;
    mg_thread *idle;
    mg_line_hook line_hook;
    void *line_context;

    mg_library library;
    /// Registry references.
    int template_globals;
    /// Variables of the process that `os.getenv` shows.
    int environment;
    /// What `require` has loaded for files of each dialect; the old one's second.
    int modules[2];
    /// The function of the current run.
    int function;

    mg_reason reason;
    /// What the guard noted when it struck.
    char where[128];
    char kill_trace[1024];
    char *failure;
    char *traceback;
};

/// Whether the script that runs is to be left for good.
static inline bool mg_is_leaving(const mg_lua *vm) {
    return vm->unwind != MG_UNWIND_NONE || vm->overrun || vm->spent;
}

static inline mg_lua *mg_vm(lua_State *L) { return *(mg_lua **)lua_getextraspace(L); }

// lua_memory.c
void *mg_allocate(void *context, void *block, size_t old_size, size_t new_size);
void mg_open_memory(mg_lua *vm, size_t limit);
/// NULL when memory is out.
mg_terms *mg_terms_of(mg_lua *vm, int reference);

// lua_vm.c
/// Runs C code that may raise on the main state. False: the failure is recorded.
bool mg_protected(mg_lua *vm, lua_CFunction function, void *data);
void mg_set_failure(mg_lua *vm, mg_reason reason, const char *message, const char *traceback);

// lua_guard.c
void mg_guard_enter(mg_lua *vm);
void mg_guard_leave(mg_lua *vm);
/// Leaves the script for good: a yield where that is possible, since no `pcall` sees it, else an error.
int mg_leave(lua_State *L);
/// Leaves the script if the time is up. Library loops in C call it now and then.
void mg_check_time(lua_State *L);
/// The same for loops with short steps: costs a load while the time is not up.
static inline void mg_poll(lua_State *L) {
    if (mg_vm(L)->overrun) mg_check_time(L);
}
void mg_install_kill(lua_State *L);
/// What a coroutine has instead of the guard's hook: nothing, or the line hook.
void mg_reset_hook(lua_State *L, mg_lua *vm);

// lua_place.c
/// With each tick of a run that goes on.
void mg_place_tick(mg_lua *vm);
/// The run has ended that a tick has seen.
void mg_place_clear(void);

// lua_sandbox.c, lua_load.c, lua_protect.c, lua_coroutine.c, lua_strings.c, lua_tables.c, lua_pattern.c
int mg_open_sandbox(lua_State *L);
/// Pushes a fresh table of globals for one file.
void mg_push_globals(lua_State *L, mg_lua *vm, bool legacy);
/// Pushes the function of a file's text with globals of its own, and these on top; raises what is wrong with it.
void mg_compile(lua_State *L, mg_lua *vm, const char *text, size_t length, const char *name, bool legacy);
/// Puts `require` and `load` into a file's globals.
void mg_open_load(lua_State *L, int globals, bool legacy);
void mg_open_protect(lua_State *L, int globals);
void mg_open_coroutine(lua_State *L, int library);
void mg_open_strings(lua_State *L, int strings);
void mg_open_tables(lua_State *L, int tables);
/// Bounds the functions of `utf8`.
void mg_open_utf8(lua_State *L, int library);
void mg_open_patterns(lua_State *L, int strings);
/// The C function `name` of a library.
lua_CFunction mg_take_function(lua_State *L, int library, const char *name);
/// `load(text, name)` with the arguments 1 and 2 and a file's globals; `legacy`: in the old dialect.
int mg_load_text(lua_State *L, int globals, bool legacy);
/// The text of the value at `index`, replaced by it: what `tostring` gives.
void mg_to_text(lua_State *L, int index);

// lua_tape.c
/// Encodes the table at `index`; strings point into Lua. Raises on what is too deep or too large.
void mg_encode_table(lua_State *L, mg_tape *tape, int index);
/// Pushes everything on the tape; returns how many values that were.
int mg_push_tape(lua_State *L, mg_lua *vm, const mg_tape *tape);
/// Replaces the table on top by a read-only view of it, with everything below it.
void mg_freeze(lua_State *L);

// lua_context.c
/// Pushes the running scope's context; raises where there is none.
void mg_push_context(lua_State *L, mg_lua *vm);
/// Pushes a table of what the policy sees of the context at `index`. False: it is none, and nothing is pushed.
bool mg_push_context_view(lua_State *L, int index);

// lua_bind.c, lua_object.c
void mg_push_binding(lua_State *L, mg_lua *vm, const mg_binding *binding, uint16_t kind);
/// What a leaf has said, unless that was MG_RETURN.
int mg_end_leaf(lua_State *L, mg_lua *vm, mg_action action);
static inline int mg_run_leaf(lua_State *L, mg_lua *vm, mg_action action) {
    return action == MG_RETURN ? mg_push_tape(L, vm, &vm->output) : mg_end_leaf(L, vm, action);
}
/// The object at `index` if it is one of ours and alive; else raises.
mg_object *mg_check_alive(lua_State *L, mg_lua *vm, mg_object *object);
/// Takes the bytes of an object whose class has some for a text; raises if the object is dead. False: it is something else.
bool mg_take_bytes(lua_State *L, mg_lua *vm, int index, mg_value *value);
int mg_pairs(lua_State *L);
mg_object *mg_push_object(lua_State *L, mg_lua *vm, uint16_t kind, mg_scope *scope, int user_values);
